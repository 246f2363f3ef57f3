import type { GradientDescent, GradientDescentRule } from "./gradient-descent.js";
import { readState } from "./state.js";

const MOMENTUM = 0.9;

/**
 * Heavy ball: u ← 0.9 · u + lr · g, delta = u (Polyak 1964; in the form of Sutskever et al. 2013, eq. 1).
 */
export const momentum: GradientDescentRule = {
  defaultLearningRate: 0.05,
  create: (size, learningRate) => new Momentum(size, learningRate),
};

class Momentum implements GradientDescent {
  readonly learningRate: number;
  readonly #velocity: Float32Array;

  constructor(size: number, learningRate: number) {
    this.learningRate = learningRate;
    this.#velocity = new Float32Array(size);
  }

  delta(gradient: Float32Array): void {
    const rate = this.learningRate;
    const velocity = this.#velocity;
    for (let i = 0; i < velocity.length; i++) {
      const next = MOMENTUM * velocity[i]! + rate * gradient[i]!;
      velocity[i] = next;
      gradient[i] = next;
    }
  }

  exportState(): unknown {
    return { velocity: this.#velocity.slice() };
  }

  importState(state: unknown): void {
    const names = { vectors: ["velocity"], numbers: [] } as const;
    this.#velocity.set(readState(state, "momentum", this.#velocity.length, names).velocity);
  }
}

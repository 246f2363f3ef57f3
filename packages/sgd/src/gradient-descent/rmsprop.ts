import type { GradientDescent, GradientDescentRule } from "./gradient-descent.js";
import { readState } from "./state.js";

const DECAY = 0.9;
const EPSILON = 1e-8;

/**
 * RMSProp: v ← 0.9 v + 0.1 g², delta = lr · g / (√v + ε) (Tieleman & Hinton 2012, Neural Networks for Machine
 * Learning, lecture 6e; ε is ours, against division by zero).
 */
export const rmsprop: GradientDescentRule = {
  defaultLearningRate: 0.01,
  create: (size, learningRate) => new RmsProp(size, learningRate),
};

class RmsProp implements GradientDescent {
  readonly learningRate: number;
  readonly #square: Float32Array;

  constructor(size: number, learningRate: number) {
    this.learningRate = learningRate;
    this.#square = new Float32Array(size);
  }

  delta(gradient: Float32Array): void {
    const rate = this.learningRate;
    const square = this.#square;
    for (let i = 0; i < square.length; i++) {
      const g = gradient[i]!;
      const v = DECAY * square[i]! + (1 - DECAY) * g * g;
      square[i] = v;
      gradient[i] = (rate * g) / (Math.sqrt(v) + EPSILON);
    }
  }

  exportState(): unknown {
    return { square: this.#square.slice() };
  }

  importState(state: unknown): void {
    const names = { vectors: ["square"], numbers: [] } as const;
    this.#square.set(readState(state, "rmsprop", this.#square.length, names).square);
  }
}

import type { GradientDescent, GradientDescentRule } from "./gradient-descent.js";
import { readState } from "./state.js";

const DECAY = 0.95;
const EPSILON = 1e-6;

/**
 * AdaDelta (Zeiler 2012, arXiv 1212.5701, Algorithm 1): E[g²] ← ρ E[g²] + (1 − ρ) g²,
 * Δ = √(E[Δ²] + ε) / √(E[g²] + ε) · g, E[Δ²] ← ρ E[Δ²] + (1 − ρ) Δ², delta = lr · Δ; the paper has lr = 1.
 */
export const adadelta: GradientDescentRule = {
  defaultLearningRate: 1,
  create: (size, learningRate) => new AdaDelta(size, learningRate),
};

class AdaDelta implements GradientDescent {
  readonly learningRate: number;
  readonly #gradientSquare: Float32Array;
  readonly #deltaSquare: Float32Array;

  constructor(size: number, learningRate: number) {
    this.learningRate = learningRate;
    this.#gradientSquare = new Float32Array(size);
    this.#deltaSquare = new Float32Array(size);
  }

  delta(gradient: Float32Array): void {
    const rate = this.learningRate;
    const gradientSquare = this.#gradientSquare;
    const deltaSquare = this.#deltaSquare;
    for (let i = 0; i < gradientSquare.length; i++) {
      const g = gradient[i]!;
      const v = DECAY * gradientSquare[i]! + (1 - DECAY) * g * g;
      const delta = Math.sqrt((deltaSquare[i]! + EPSILON) / (v + EPSILON)) * g;
      gradientSquare[i] = v;
      deltaSquare[i] = DECAY * deltaSquare[i]! + (1 - DECAY) * delta * delta;
      gradient[i] = rate * delta;
    }
  }

  exportState(): unknown {
    return {
      gradientSquare: this.#gradientSquare.slice(),
      deltaSquare: this.#deltaSquare.slice(),
    };
  }

  importState(state: unknown): void {
    const { gradientSquare, deltaSquare } = readState(
      state,
      "adadelta",
      this.#gradientSquare.length,
      { vectors: ["gradientSquare", "deltaSquare"], numbers: [] },
    );
    this.#gradientSquare.set(gradientSquare);
    this.#deltaSquare.set(deltaSquare);
  }
}

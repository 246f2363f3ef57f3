import type { GradientDescent, GradientDescentRule } from "./gradient-descent.js";
import { readState } from "./state.js";

/**
 * Gradient descent whose rate decays: delta = lr / √t · g, t = 1, 2, … (the rate of Zinkevich 2003, Theorem 1; 0.03
 * is the default of Parallel-SGD 0.9).
 */
export const gradientDecay: GradientDescentRule = {
  defaultLearningRate: 0.03,
  create: (_size, learningRate) => new GradientDecay(learningRate),
};

class GradientDecay implements GradientDescent {
  readonly #initialRate: number;
  #stepCount = 0;

  constructor(initialRate: number) {
    this.#initialRate = initialRate;
  }

  get learningRate(): number {
    return this.#initialRate / Math.sqrt(Math.max(1, this.#stepCount));
  }

  delta(gradient: Float32Array): void {
    this.#stepCount++;
    const rate = this.learningRate;
    for (let i = 0; i < gradient.length; i++) gradient[i]! *= rate;
  }

  exportState(): unknown {
    return { stepCount: this.#stepCount };
  }

  importState(state: unknown): void {
    const numbers = ["stepCount"] as const;
    this.#stepCount = readState(state, "gradient_decay", 0, { vectors: [], numbers }).stepCount;
  }
}

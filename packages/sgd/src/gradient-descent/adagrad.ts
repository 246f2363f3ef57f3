import type { GradientDescent, GradientDescentRule } from "./gradient-descent.js";
import { readState } from "./state.js";

const EPSILON = 1e-8;

/**
 * AdaGrad: v ← v + g², delta = lr · g / (√v + ε) (Duchi, Hazan & Singer 2011, JMLR 12, the diagonal form of Figure 1,
 * where ε is called δ).
 */
export const adagrad: GradientDescentRule = {
  defaultLearningRate: 0.01,
  create: (size, learningRate) => new AdaGrad(size, learningRate),
};

class AdaGrad implements GradientDescent {
  readonly learningRate: number;
  readonly #squareSum: Float32Array;

  constructor(size: number, learningRate: number) {
    this.learningRate = learningRate;
    this.#squareSum = new Float32Array(size);
  }

  delta(gradient: Float32Array): void {
    const rate = this.learningRate;
    const squareSum = this.#squareSum;
    for (let i = 0; i < squareSum.length; i++) {
      const g = gradient[i]!;
      const v = squareSum[i]! + g * g;
      squareSum[i] = v;
      gradient[i] = (rate * g) / (Math.sqrt(v) + EPSILON);
    }
  }

  exportState(): unknown {
    return { squareSum: this.#squareSum.slice() };
  }

  importState(state: unknown): void {
    const names = { vectors: ["squareSum"], numbers: [] } as const;
    this.#squareSum.set(readState(state, "adagrad", this.#squareSum.length, names).squareSum);
  }
}

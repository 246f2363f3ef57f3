import type { GradientDescent, GradientDescentRule } from "./gradient-descent.js";

/** Stochastic gradient descent: delta = lr · g (Robbins & Monro 1951). */
export const sgd: GradientDescentRule = {
  defaultLearningRate: 0.05,
  create: (_size, learningRate) => new Sgd(learningRate),
};

class Sgd implements GradientDescent {
  readonly learningRate: number;

  constructor(learningRate: number) {
    this.learningRate = learningRate;
  }

  delta(gradient: Float32Array): void {
    const rate = this.learningRate;
    for (let i = 0; i < gradient.length; i++) gradient[i]! *= rate;
  }

  exportState(): undefined {
    return undefined;
  }

  importState(_state: unknown): void {}
}

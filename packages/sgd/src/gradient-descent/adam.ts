import type { GradientDescent, GradientDescentRule } from "./gradient-descent.js";
import { readState } from "./state.js";

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

/**
 * Adam (Kingma & Ba 2015, arXiv 1412.6980, Algorithm 1):
 * m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², delta = lr · m̂ / (√v̂ + ε), m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).
 */
export const adam: GradientDescentRule = {
  defaultLearningRate: 1e-3,
  create: (size, learningRate) => new Adam(size, learningRate),
};

class Adam implements GradientDescent {
  readonly learningRate: number;
  readonly #mean: Float32Array;
  readonly #square: Float32Array;
  // Running products, because engines may approximate Math.pow.
  #beta1Power = 1;
  #beta2Power = 1;

  constructor(size: number, learningRate: number) {
    this.learningRate = learningRate;
    this.#mean = new Float32Array(size);
    this.#square = new Float32Array(size);
  }

  delta(gradient: Float32Array): void {
    this.#beta1Power *= BETA1;
    this.#beta2Power *= BETA2;
    // The corrections of both means, taken out of the loop (end of section 2 of the paper).
    const correction = Math.sqrt(1 - this.#beta2Power);
    const rate = (this.learningRate * correction) / (1 - this.#beta1Power);
    const epsilon = EPSILON * correction;
    const mean = this.#mean;
    const square = this.#square;
    for (let i = 0; i < mean.length; i++) {
      const g = gradient[i]!;
      const m = BETA1 * mean[i]! + (1 - BETA1) * g;
      const v = BETA2 * square[i]! + (1 - BETA2) * g * g;
      mean[i] = m;
      square[i] = v;
      gradient[i] = (rate * m) / (Math.sqrt(v) + epsilon);
    }
  }

  exportState(): unknown {
    return {
      mean: this.#mean.slice(),
      square: this.#square.slice(),
      beta1Power: this.#beta1Power,
      beta2Power: this.#beta2Power,
    };
  }

  importState(state: unknown): void {
    const { mean, square, beta1Power, beta2Power } = readState(state, "adam", this.#mean.length, {
      vectors: ["mean", "square"],
      numbers: ["beta1Power", "beta2Power"],
    });
    this.#mean.set(mean);
    this.#square.set(square);
    this.#beta1Power = beta1Power;
    this.#beta2Power = beta2Power;
  }
}

import {
  Chain,
  Compression,
  CompressedGradients,
  float32,
  requireAtLeast,
  requireBelowOne,
  requireWhole,
  scaledSign,
  type Compressed,
  type CompressionParts,
} from "./compressors/index.js";

/*
 * Adam, which after a warm-up sends one bit for each value.
 *
 * Algorithm
 * 1. Warm-up: nodes send their gradients as they are; with the mean g all take the same step of Adam:
 *    m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g².
 * 2. Then v stays. A node takes mᵢ = β₁ m + (1 − β₁) gᵢ, adds what it has not sent so far, and sends signs and, for each
 *    tensor, the mean magnitude. m ← mean of what all packets are decoded to, in order of node ids; 0 where v is, as of
 *    inputs that were always 0: these weights stay.
 * 3. The result is η m̂ / (√v̂ + ε), m̂ and v̂ corrected for their start at 0.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; no
 * server; plain gradient descent (`--gradient-descent sgd`) with Adam's learning rate, as Adam is here; gradients with the
 * noise of small batches: all values of a tensor get one magnitude over a √v of their own, which where gradients hardly
 * vary is so small that steps are long (on the quadratics of `psgd codec test`, say).
 *
 * Sends: `[node, step, packet]`: 4d · n · (n − 1) bytes per step over the whole cluster in the warm-up, then (d / 8 + 4 per
 * tensor) · n · (n − 1).
 *
 * State: m, v and what was not sent, 12d bytes.
 *
 * Error feedback: yes, of the momentum.
 *
 * Parameters
 * - `warmup_steps` (whole number from 1, default a fifth of the job): steps until v stays; too few and v is not what it will be.
 * - `beta1` (number from 0, below 1, default 0.9), `beta2` (number from 0, below 1, default 0.999): of Adam.
 * - `epsilon` (number from 0, default 1e-8): of Adam.
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: Tang et al. 2021, arXiv 2102.02888, Algorithm 1; without its second compression, on the way back from a server.
 */

/** Adam over signs. */
export class OneBitAdam extends CompressedGradients {
  readonly #warmupSteps = requireWhole(
    1,
    this.settings.param("warmup_steps", Math.ceil(this.settings.stepCount / 5)),
    "warmup_steps",
  );
  readonly #beta1 = requireBelowOne(this.settings.param("beta1", 0.9), "beta1");
  readonly #beta2 = requireBelowOne(this.settings.param("beta2", 0.999), "beta2");
  readonly #epsilon = requireAtLeast(0, this.settings.param("epsilon", 1e-8), "epsilon");
  readonly #dense = new Chain(undefined, float32());
  readonly #signs = new Chain(undefined, scaledSign());
  readonly #compression = new Compression(this.#signs, 1);
  #mean = new Float32Array(this.layout.size);
  #square = new Float32Array(this.layout.size);
  /** Steps whose result is there, and β₁ and β₂ to the power of those that count. */
  #stepCount = 0;
  #beta1Power = 1;
  #beta2Power = 1;

  protected override compression(): CompressionParts {
    return { feedback: false };
  }

  protected override chainIn(step: number): Chain {
    return step < this.#warmupSteps ? this.#dense : this.#signs;
  }

  protected override compress(gradient: Float32Array, step: number): Compressed {
    const { tensors, size } = this.layout;
    // What codecs are given is times the learning rate, which Adam's sizes must not depend on.
    const scale = 1 / this.learningRate;
    for (let i = 0; i < size; i++) gradient[i] *= scale;
    if (step < this.#warmupSteps) {
      const packet = this.#dense.encode(gradient, tensors, this.random);
      return { packet, decoded: { positions: undefined, values: gradient } };
    }
    for (let i = 0; i < size; i++)
      gradient[i] = this.#beta1 * this.#mean[i] + (1 - this.#beta1) * gradient[i];
    return this.#compression.compress(gradient, tensors, this.random);
  }

  protected override resultOf(mean: Float32Array): Float32Array {
    const m = this.#mean;
    const v = this.#square;
    this.#beta1Power *= this.#beta1;
    if (this.#stepCount++ < this.#warmupSteps) {
      this.#beta2Power *= this.#beta2;
      for (let i = 0; i < m.length; i++) {
        m[i] = this.#beta1 * m[i] + (1 - this.#beta1) * mean[i];
        v[i] = this.#beta2 * v[i] + (1 - this.#beta2) * mean[i] * mean[i];
      }
    } else {
      // A sign is never 0: where v is, that would be a step of the whole scale over ε.
      for (let i = 0; i < m.length; i++) m[i] = v[i] > 0 ? mean[i] : 0;
    }
    const rate = this.learningRate / (1 - this.#beta1Power);
    const correction = 1 / (1 - this.#beta2Power);
    for (let i = 0; i < m.length; i++)
      mean[i] = (rate * m[i]) / (Math.sqrt(v[i] * correction) + this.#epsilon);
    return mean;
  }

  override exportState(): unknown {
    return {
      mean: this.#mean.slice(),
      square: this.#square.slice(),
      stepCount: this.#stepCount,
      powers: [this.#beta1Power, this.#beta2Power],
      residual: this.#compression.exportState(),
    };
  }

  override importState(state: unknown): void {
    const saved = state as {
      mean: Float32Array;
      square: Float32Array;
      stepCount: number;
      powers: readonly [number, number];
      residual: unknown;
    };
    this.#mean = saved.mean.slice();
    this.#square = saved.square.slice();
    this.#stepCount = saved.stepCount;
    [this.#beta1Power, this.#beta2Power] = saved.powers;
    this.#compression.importState(saved.residual, this.layout.size);
  }
}

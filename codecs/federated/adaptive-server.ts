import type { CodecContext } from "@psgd/core";
import { requireAtLeast, requireBelowOne } from "../compressors/index.js";
import { FedAvgServer } from "../fedavg.js";

/**
 * FedOpt (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2): the mean way of the clients is a gradient for an optimizer on
 * the server: Δ = mean − w, m ← β₁ m + (1 − β₁) Δ, v ← as the optimizer says, w ← w + η m / (√v + τ).
 */
export abstract class AdaptiveServer extends FedAvgServer {
  readonly #rate = requireAtLeast(0, this.settings.param("server_rate", 0.1), "server_rate");
  readonly #tau = requireAtLeast(1e-12, this.settings.param("tau", 1e-3), "tau");
  readonly #beta1: number;
  readonly #mean = new Float32Array(this.layout.size);
  readonly #square = new Float32Array(this.layout.size);

  /** @param beta1 - unless the job sets it */
  constructor(context: CodecContext, beta1 = 0.9) {
    super(context);
    this.#beta1 = requireBelowOne(this.settings.param("beta1", beta1), "beta1");
  }

  /** The next v of one value. */
  protected abstract nextSquare(v: number, delta: number): number;

  protected override nextModel(mean: Float32Array, current: Readonly<Float32Array>): Float32Array {
    const m = this.#mean;
    const v = this.#square;
    for (let i = 0; i < mean.length; i++) {
      const delta = mean[i] - current[i];
      m[i] = this.#beta1 * m[i] + (1 - this.#beta1) * delta;
      v[i] = this.nextSquare(v[i], delta);
      mean[i] = current[i] + (this.#rate * m[i]) / (Math.sqrt(v[i]) + this.#tau);
    }
    return mean;
  }

  override exportState(): unknown {
    return { rounds: super.exportState(), mean: this.#mean.slice(), square: this.#square.slice() };
  }

  override importState(state: unknown): void {
    const saved = state as { rounds: unknown; mean: Float32Array; square: Float32Array };
    super.importState(saved.rounds);
    this.#mean.set(saved.mean);
    this.#square.set(saved.square);
  }
}

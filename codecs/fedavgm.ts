import { requireAtLeast, requireBelowOne } from "./compressors/index.js";
import { FedAvgClient, FedAvgServer } from "./fedavg.js";

/*
 * Federated averaging with momentum on the server.
 *
 * Algorithm
 * 1. Clients as in federated averaging (`fedavg`), with all its parameters.
 * 2. The server takes the mean way of the clients, Δ = mean − w, for a gradient: v ← β v + Δ, and w ← w + η (β v + Δ), the
 *    step of Nesterov, or w ← w + η v, that of Polyak. v begins at 0.
 *
 * Needs: as `fedavg.FedAvgClient`: ssgd or asgd; any redundancy; a parameter server, this one.
 *
 * Sends: as `fedavg.FedAvgClient`: 8d · m + 4d · q bytes per round over the whole cluster, m clients, q who ask.
 *
 * State: as `fedavg`, and on the server v, 4d bytes.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters: those of `fedavg`, and
 * - `momentum` (number from 0, below 1, default 0.9): β; 0 is federated averaging.
 * - `server_rate` (number from 0, default 1): η; with momentum about 1 − β keeps steps of the same length.
 * - `nesterov` (true or false, default true): which of the two steps.
 *
 * Source: Hsu et al. 2019, arXiv 1909.06335, section 3.3.
 */

/** Momentum over the mean way of the clients. */
export class FedAvgMServer extends FedAvgServer {
  readonly #momentum = requireBelowOne(this.settings.param("momentum", 0.9), "momentum");
  readonly #rate = requireAtLeast(0, this.settings.param("server_rate", 1), "server_rate");
  readonly #isNesterov = this.settings.param("nesterov", true);
  readonly #velocity = new Float32Array(this.layout.size);

  protected override nextModel(mean: Float32Array, current: Readonly<Float32Array>): Float32Array {
    const v = this.#velocity;
    for (let i = 0; i < mean.length; i++) {
      const delta = mean[i] - current[i];
      v[i] = this.#momentum * v[i] + delta;
      const step = this.#isNesterov ? this.#momentum * v[i] + delta : v[i];
      mean[i] = current[i] + this.#rate * step;
    }
    return mean;
  }

  override exportState(): unknown {
    return { rounds: super.exportState(), velocity: this.#velocity.slice() };
  }

  override importState(state: unknown): void {
    const saved = state as { rounds: unknown; velocity: Float32Array };
    super.importState(saved.rounds);
    this.#velocity.set(saved.velocity);
  }
}

/** Trains locally, for a server with momentum. */
export class FedAvgMClient extends FedAvgClient {
  static override readonly server = FedAvgMServer;
}

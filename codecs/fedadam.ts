import { requireBelowOne } from "./compressors/index.js";
import { FedAvgClient } from "./fedavg.js";
import { AdaptiveServer } from "./federated/adaptive-server.js";

/*
 * Federated averaging with Adam on the server.
 *
 * Algorithm
 * 1. Clients as in federated averaging (`fedavg`), with all its parameters.
 * 2. The server takes the mean way of the clients, Δ = mean − w, for a gradient: m ← β₁ m + (1 − β₁) Δ, v ← β₂ v + (1 − β₂) Δ²,
 *    w ← w + η m / (√v + τ), and sends w back. m and v begin at 0.
 *
 * Needs: as `fedavg.FedAvgClient`: ssgd or asgd; any redundancy; a parameter server, this one.
 *
 * Sends: as `fedavg.FedAvgClient`: 8d · m + 4d · q bytes per round over the whole cluster, m clients, q who ask.
 *
 * State: as `fedavg`, and on the server m and v, 8d bytes.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters: those of `fedavg`, and
 * - `server_rate` (number from 0, default 0.1): η, the length of the server's steps; the paper tunes it over powers of 10.
 * - `tau` (number more than 0, default 0.001): τ, how little a value that hardly moves is scaled up.
 * - `beta1` (number from 0, below 1, default 0.9): β₁, how long the server keeps its direction.
 * - `beta2` (number from 0, below 1, default 0.99): β₂, how long it remembers sizes.
 *
 * Source: Reddi et al. 2021, arXiv 2003.00295, Algorithm 2 (FedAdam). As there, m and v are not corrected for
 * their start; there v begins at τ² or more, in the authors' code at 0, as here.
 */

/** Adam over the mean way of the clients. */
export class FedAdamServer extends AdaptiveServer {
  readonly #beta2 = requireBelowOne(this.settings.param("beta2", 0.99), "beta2");

  protected override nextSquare(v: number, delta: number): number {
    return this.#beta2 * v + (1 - this.#beta2) * delta * delta;
  }
}

/** Trains locally, for a server that does more than average. */
export class FedAdamClient extends FedAvgClient {
  static override readonly server = FedAdamServer;
}

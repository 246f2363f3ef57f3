import { AsgdClient, AsgdServer } from "./asgd.js";
import { requireAtLeast, requireBelowOne } from "./compressors/index.js";

/*
 * Asynchronous gradient descent with Adam on the server.
 *
 * Algorithm
 * 1. Clients as in `asgd`.
 * 2. With each gradient g that comes, the server takes a step of Adam: m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²,
 *    w ← w − rate · m̂ / (√v̂ + ε), m̂ and v̂ corrected for their start at 0, and answers with w.
 *
 * Needs: as `asgd`: asgd or ssp; any redundancy; a parameter server; plain gradient descent at a rate that stays
 * (`--gradient-descent sgd`), by which the server tells the gradients; only clients' own steps have it.
 *
 * Sends: as `asgd`: 8d · n / local_steps bytes per step over the whole cluster.
 *
 * State: as `asgd`, and on the server m and v, 8d bytes.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters: that of `asgd`, and
 * - `server_rate` (number from 0, default 0.00003): of Adam; small, as each node's gradient is a step.
 * - `beta1` (number from 0, below 1, default 0.9), `beta2` (number from 0, below 1, default 0.999): of Adam.
 *
 * Source: `ADAMParameterServer` of Parallel-SGD; Kingma & Ba 2015, arXiv 1412.6980, Algorithm 1. The original's clients
 * hold what it answers for a gradient; here it is the model.
 */

const EPSILON = 1e-8;

/** Takes a step of Adam with each gradient. */
export class AdamServer extends AsgdServer {
  readonly #rate = requireAtLeast(0, this.settings.param("server_rate", 3e-5), "server_rate");
  readonly #beta1 = requireBelowOne(this.settings.param("beta1", 0.9), "beta1");
  readonly #beta2 = requireBelowOne(this.settings.param("beta2", 0.999), "beta2");
  #mean = new Float32Array(this.layout.size);
  #square = new Float32Array(this.layout.size);
  #beta1Power = 1;
  #beta2Power = 1;

  protected override apply(gradient: Float32Array, displacement: Float32Array): void {
    this.#beta1Power *= this.#beta1;
    this.#beta2Power *= this.#beta2;
    const scale = 1 / this.learningRate;
    const m = this.#mean;
    const v = this.#square;
    for (let i = 0; i < m.length; i++) {
      const g = gradient[i] * scale;
      m[i] = this.#beta1 * m[i] + (1 - this.#beta1) * g;
      v[i] = this.#beta2 * v[i] + (1 - this.#beta2) * g * g;
      const corrected = Math.sqrt(v[i] / (1 - this.#beta2Power));
      displacement[i] -= (this.#rate * m[i]) / (1 - this.#beta1Power) / (corrected + EPSILON);
    }
  }

  override exportState(): unknown {
    return {
      model: super.exportState(),
      mean: this.#mean.slice(),
      square: this.#square.slice(),
      powers: [this.#beta1Power, this.#beta2Power],
    };
  }

  override importState(state: unknown): void {
    const saved = state as {
      model: unknown;
      mean: Float32Array;
      square: Float32Array;
      powers: readonly [number, number];
    };
    super.importState(saved.model);
    this.#mean = saved.mean.slice();
    this.#square = saved.square.slice();
    [this.#beta1Power, this.#beta2Power] = saved.powers;
  }
}

/** Sends its gradients, and goes on from the server's model. */
export class AdamClient extends AsgdClient {
  static override readonly server = AdamServer;
}

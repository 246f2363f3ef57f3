import type { BlockWeight, CodecReturn } from "@psgd/core";
import { requireAtLeast } from "./compressors/index.js";
import { FedAvgClient, FedAvgServer } from "./fedavg.js";

/*
 * Federated averaging in which clients are held near the model that they got, so that those with other data do not
 * drift away.
 *
 * Algorithm
 * 1. As federated averaging (`fedavg`), with all its parameters and any of its servers.
 * 2. A client adds μ/2 · ‖w − w₀‖² to its loss, w₀ the model it began the round with: to each local step − η μ (w − w₀),
 *    η the learning rate.
 *
 * Needs: as `fedavg.FedAvgClient`: ssgd or asgd; any redundancy; a parameter server, this one.
 *
 * Sends: as `fedavg.FedAvgClient`: 8d · m + 4d · q bytes per round over the whole cluster, m clients, q who ask.
 *
 * State: as `fedavg`, and on clients w₀, 4d bytes.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters: those of `fedavg`, and
 * - `mu` (number from 0, default 0.01): how strongly; the paper tries 0.001 to 1. 0 is federated averaging.
 *
 * Source: Li et al. 2020, arXiv 1812.06127, Algorithm 2. The gradient of the term is added after the optimizer, so with
 * others than plain gradient descent it is not scaled as the loss is.
 */

// What a codec declares as its server comes from its own file.
export { FedAvgServer };

/** Trains locally, but not far away. */
export class FedProxClient extends FedAvgClient {
  readonly #mu = requireAtLeast(0, this.settings.param("mu", 0.01), "mu");
  /** The model that this round began with, and the step it began in. */
  #start: { readonly weights: Float32Array; readonly step: number } | undefined;

  override updateBlocks(block: BlockWeight): CodecReturn {
    const { content, step } = block;
    const { weights } = this;
    // The step that ends a round is its last; several blocks of one step have one beginning.
    if (this.#start === undefined || (step > this.#start.step && this.isEndOfRound(step - 1)))
      this.#start = { weights: weights.slice(), step };
    const start = this.#start.weights;
    const pull = this.learningRate * this.#mu;
    for (let i = 0; i < content.length; i++) content[i] -= pull * (weights[i] - start[i]);
    return super.updateBlocks(block);
  }

  override exportState(): unknown {
    const start = this.#start && { ...this.#start, weights: this.#start.weights.slice() };
    return { rounds: super.exportState(), start };
  }

  override importState(state: unknown): void {
    const saved = state as {
      rounds: unknown;
      start: { weights: Float32Array; step: number } | undefined;
    };
    super.importState(saved.rounds);
    this.#start = saved.start;
  }
}

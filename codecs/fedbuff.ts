import {
  Codec,
  netEncapsulation,
  requireCount,
  requireId,
  requireList,
  requireVector,
  type NetEncapsulation,
} from "@psgd/core";
import { VisitingClient } from "./asynchronous/visiting-client.js";
import { requireAtLeast, requireWhole } from "./compressors/index.js";

/*
 * Asynchronous federated averaging with a buffer: the server waits for some ways, from whomever, and takes one step.
 *
 * Algorithm
 * 1. A client takes `local_steps` steps and sends its way Δ = wₛ − w, wₛ the model it began with, and the version of wₛ.
 * 2. The server adds Δ / √(1 + staleness) to its buffer, the staleness being the steps it has taken since wₛ. With K of
 *    them it takes x ← x − η_s · sum / K, and begins a new buffer.
 * 3. It answers each visit at once with its model, new or not.
 *
 * Needs: asgd or ssp; with ssgd it runs, but nodes at the same step hold different models; any redundancy, a node then
 * takes the mean of its own blocks for its model; a parameter server.
 *
 * Sends: `[nodeId, way, version]` up, `[weights, version]` down: 8d · n / local_steps bytes per step over the whole cluster.
 *
 * State: clients wₛ, 4d bytes; the server its model and the buffer, 8d bytes, however large K is.
 *
 * Error feedback: no; a buffer that is not full at the end of the job is lost.
 *
 * Parameters
 * - `local_steps` (whole number from 1, default 10): steps between two visits.
 * - `buffer` (whole number from 1, default 10): K; with more than there are nodes, nodes visit more than once for a step.
 * - `server_rate` (number from 0, default 1): η_s.
 *
 * Source: Nguyen et al. 2022, arXiv 2106.06639, Algorithm 1 with the weights of section 5.2; without secure aggregation.
 */

/** Takes a step with every K ways. */
export class FedBuffServer extends Codec {
  static override readonly carries = "weights";

  readonly #capacity = requireWhole(1, this.settings.param("buffer", 10), "buffer");
  readonly #rate = requireAtLeast(0, this.settings.param("server_rate", 1), "server_rate");
  #model: Float32Array | undefined;
  #sum = new Float32Array(this.layout.size);
  #count = 0;
  #version = 0;

  override receiveBlocks(content: unknown): NetEncapsulation {
    const [nodeId, way, version] = requireList(content, 3);
    requireId(nodeId, this.settings.nodes, "node id");
    requireVector(way, this.layout.size, `way of node ${nodeId}`);
    requireCount(version, `version of node ${nodeId}`);
    const model = (this.#model ??= this.weights.slice());
    const weight = 1 / Math.sqrt(1 + Math.max(0, this.#version - version));
    for (let i = 0; i < way.length; i++) this.#sum[i] += weight * way[i];
    if (++this.#count === this.#capacity) this.#step(model);
    return netEncapsulation(nodeId, [model, this.#version]);
  }

  #step(model: Float32Array): void {
    const factor = this.#rate / this.#capacity;
    for (let i = 0; i < model.length; i++) model[i] -= factor * this.#sum[i];
    this.#sum.fill(0);
    this.#count = 0;
    this.#version++;
  }

  override exportState(): unknown {
    return {
      model: this.#model?.slice(),
      sum: this.#sum.slice(),
      count: this.#count,
      version: this.#version,
    };
  }

  override importState(state: unknown): void {
    const saved = state as {
      model: Float32Array | undefined;
      sum: Float32Array;
      count: number;
      version: number;
    };
    this.#model = saved.model?.slice();
    this.#sum = saved.sum.slice();
    this.#count = saved.count;
    this.#version = saved.version;
  }
}

/** Brings how far it has gone. */
export class FedBuffClient extends VisitingClient {
  static override readonly server = FedBuffServer;

  protected override brings(weights: Float32Array, start: Readonly<Float32Array>): Float32Array {
    for (let i = 0; i < weights.length; i++) weights[i] = start[i] - weights[i];
    return weights;
  }
}

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
import { requireAtLeast, requireOneOf, requireShare } from "./compressors/index.js";

/*
 * Asynchronous federated averaging: the server mixes each client's model into its own when it comes, the less the older
 * the model is that the client began with.
 *
 * Algorithm
 * 1. A client takes `local_steps` steps, held near the model wₛ that it began with: − η ρ (w − wₛ) in each.
 * 2. It sends its weights w and the version of wₛ. The server takes x ← (1 − αₜ) x + αₜ w, αₜ = α · s(t − τ), t the updates it
 *    has made and τ the version, and answers with x and t + 1.
 * 3. The client goes on from x.
 *
 * Needs: asgd or ssp; with ssgd it runs, but nodes at the same step hold different models; any redundancy, a node then
 * takes the mean of its own blocks for its model; a parameter server.
 *
 * Sends: `[nodeId, weights, version]` up, `[weights, version]` down: 8d · n / local_steps bytes per step over the whole
 * cluster.
 *
 * State: clients wₛ, 4d bytes; the server x, 4d bytes.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters
 * - `local_steps` (whole number from 1, default 10): steps between two visits.
 * - `alpha` (more than 0, at most 1, default 0.6): how much of a fresh model is mixed in.
 * - `staleness_function` ("polynomial", "hinge" or "constant", default "polynomial"): s(x) = (x + 1)^−a; or 1 up to b, then
 *   1 / (a (x − b) + 1); or 1.
 * - `a` (number from 0, default 0.5 with the polynomial and 10 with the hinge): more: old models count less.
 * - `b` (number from 0, default 4): of the hinge: more: models count in full for longer.
 * - `rho` (number from 0, default 0.005): how near clients are held to wₛ.
 *
 * Source: Xie et al. 2019, arXiv 1903.03934, Algorithm 1 and section 5.2.
 */

/** By name: what is left of a model that is `x` updates old, and the paper's `a`. */
const STALENESS = {
  polynomial: { share: (x: number, a: number) => (x + 1) ** -a, a: 0.5 },
  hinge: {
    share: (x: number, a: number, b: number) => (x <= b ? 1 : 1 / (a * (x - b) + 1)),
    a: 10,
  },
  constant: { share: () => 1, a: 0 },
};

/** Mixes in what comes. */
export class FedAsyncServer extends Codec {
  static override readonly carries = "weights";

  readonly #alpha = requireShare(this.settings.param("alpha", 0.6), "alpha");
  readonly #staleness =
    STALENESS[
      requireOneOf(
        ["polynomial", "hinge", "constant"],
        this.settings.param("staleness_function", "polynomial"),
        "staleness_function",
      )
    ];
  readonly #a = requireAtLeast(0, this.settings.param("a", this.#staleness.a), "a");
  readonly #b = requireAtLeast(0, this.settings.param("b", 4), "b");
  #model: Float32Array | undefined;
  #version = 0;

  override receiveBlocks(content: unknown): NetEncapsulation {
    const [nodeId, weights, version] = requireList(content, 3);
    requireId(nodeId, this.settings.nodes, "node id");
    requireVector(weights, this.layout.size, `weights of node ${nodeId}`);
    requireCount(version, `version of node ${nodeId}`);
    const model = (this.#model ??= this.weights.slice());
    const age = Math.max(0, this.#version - version);
    const share = this.#alpha * this.#staleness.share(age, this.#a, this.#b);
    for (let i = 0; i < model.length; i++) model[i] = (1 - share) * model[i] + share * weights[i];
    this.#version++;
    return netEncapsulation(nodeId, [model, this.#version]);
  }

  override exportState(): unknown {
    return { model: this.#model?.slice(), version: this.#version };
  }

  override importState(state: unknown): void {
    const saved = state as { model: Float32Array | undefined; version: number };
    this.#model = saved.model?.slice();
    this.#version = saved.version;
  }
}

/** Brings its weights. */
export class FedAsyncClient extends VisitingClient {
  static override readonly server = FedAsyncServer;

  readonly #rho = requireAtLeast(0, this.settings.param("rho", 0.005), "rho");

  protected override afterLocalStep(content: Float32Array, start: Readonly<Float32Array>): void {
    const pull = this.learningRate * this.#rho;
    const { weights } = this;
    for (let i = 0; i < content.length; i++) content[i] -= pull * (weights[i] - start[i]);
  }

  protected override brings(weights: Float32Array): Float32Array {
    return weights;
  }
}

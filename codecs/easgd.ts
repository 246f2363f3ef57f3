import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
  netEncapsulation,
  requireId,
  requireList,
  requireVector,
  type BlockWeight,
  type NetEncapsulation,
} from "@psgd/core";
import { requireAtLeast, requireWhole } from "./compressors/index.js";

/*
 * Elastic averaging: nodes and a centre pull at each other, and nodes stay where they are useful to explore.
 *
 * Algorithm
 * 1. A client takes `local_steps` steps, and sends its weights x to the server.
 * 2. The server has a centre c. It moves it by δ = α (x − c), c ← c + δ, and answers with δ.
 * 3. The client goes on from x − δ.
 *
 * Needs: asgd or ssp; with ssgd it runs. Nodes have models of their own by design: the centre, which no node holds, is what
 * they all come near to. Any redundancy, a node then takes the mean of its own blocks for its model; a parameter server.
 *
 * Sends: `[nodeId, weights]` up, `[delta]` down: 8d · n / local_steps bytes per step over the whole cluster.
 *
 * State: clients their weights while they wait; the server the centre, 4d bytes.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters
 * - `local_steps` (whole number from 1, default 4): the paper's τ; it tries 1, 4, 16 and 64.
 * - `beta` (number from 0, default 0.9): α = beta / n; more: nodes are nearer to each other.
 *
 * Source: Zhang et al. 2015, arXiv 1412.6651, Algorithm 1 (asynchronous EASGD). The client sends and is told δ, where the
 * paper's reads c: so the centre moves by exactly what the client does. Its x is the one before the step at hand, here it is
 * the one after it.
 */

/** Holds the centre. */
export class EasgdServer extends Codec {
  static override readonly carries = "weights";

  readonly #alpha =
    requireAtLeast(0, this.settings.param("beta", 0.9), "beta") / this.settings.nodeCount;
  #centre: Float32Array | undefined;

  override receiveBlocks(content: unknown): NetEncapsulation {
    const [nodeId, weights] = requireList(content, 2);
    requireId(nodeId, this.settings.nodes, "node id");
    requireVector(weights, this.layout.size, `weights of node ${nodeId}`);
    const centre = (this.#centre ??= this.weights.slice());
    const delta = weights;
    for (let i = 0; i < centre.length; i++) {
      delta[i] = this.#alpha * (weights[i] - centre[i]);
      centre[i] += delta[i];
    }
    return netEncapsulation(nodeId, [delta]);
  }

  override exportState(): unknown {
    return this.#centre?.slice();
  }

  override importState(state: unknown): void {
    this.#centre = (state as Float32Array | undefined)?.slice();
  }
}

/** Lets itself be pulled to the centre. */
export class EasgdClient extends Codec {
  static override readonly carries = "weights";
  static override readonly server = EasgdServer;

  readonly #localSteps = requireWhole(1, this.settings.param("local_steps", 4), "local_steps");
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  #waiting: Float32Array | undefined;

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const weights = this.#ownBlocks.add(block);
    if (weights === undefined) return undefined;
    if ((block.step + 1) % this.#localSteps !== 0) {
      this.setResult(weights);
      return undefined;
    }
    this.#waiting = weights;
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, weights]);
  }

  override receiveBlocks(content: unknown): void {
    const [delta] = requireList(content, 1);
    requireVector(delta, this.layout.size, "pull of the centre");
    const weights = this.#waiting;
    if (weights === undefined) return;
    this.#waiting = undefined;
    for (let i = 0; i < weights.length; i++) weights[i] -= delta[i];
    this.setResult(weights);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }
}

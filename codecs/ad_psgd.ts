import {
  Codec,
  OwnBlocks,
  netEncapsulation,
  requireCount,
  requireId,
  requireList,
  requireVector,
  type BlockWeight,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";

/*
 * Asynchronous decentralised gradient descent: a node averages with one other, drawn anew in each step, and waits for
 * nobody else.
 *
 * Algorithm
 * 1. Nodes with even ids ask, those with odd ids are asked: so no two can wait for each other.
 * 2. An asking node sends its weights x to an odd one drawn at random, whose weights are y; that becomes (x + y) / 2 and
 *    answers with y, and the asking one becomes (x + y) / 2, too. Both add the step they have computed meanwhile.
 * 3. If the answer stays away longer than a step may wait, the asking node goes on from its own step alone.
 *
 * Needs: asgd or ssp; with ssgd an asked node may have ended the step that it is asked in, and its answer is awaited in vain,
 * as long as a step may wait. Any redundancy, a node then takes the mean of its own blocks for its model; no server. Models differ by design; their mean
 * is what trains.
 *
 * Sends: `["ask", node, step, weights]`, `["answer", step, weights]`: 8d bytes for each step of an even node.
 *
 * State: asked nodes what they have been pulled by and not yet applied, and their model with it, 8d bytes.
 *
 * Error feedback: no, nothing is lost: the sum of all models changes only by the steps, and by answers that came too late.
 *
 * Parameters: none.
 *
 * Source: Lian et al. 2018, arXiv 1710.06952, Algorithm 1, with the bipartite graph of its section 3.
 */

/** Averages with one other node at a time. */
export class AdPsgd extends Codec {
  static override readonly carries = "weights";

  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  readonly #asked = this.settings.nodes.filter((node) => node % 2 === 1);
  readonly #isAsking = this.nodeId % 2 === 0 && this.#asked.length > 0;
  /** Of an asking node, while it waits: the weights it sent in a step, and those it computed from them. */
  #waiting:
    | { readonly step: number; readonly before: Float32Array; readonly after: Float32Array }
    | undefined;
  /** Of an asked node: its model with all that it was pulled by. */
  #model: Float32Array | undefined;
  /** Of an asked node: what it was pulled by since its last step. */
  #pull = new Float32Array(this.layout.size);

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const after = this.#ownBlocks.add(block);
    if (after === undefined) return undefined;
    if (!this.#isAsking) {
      for (let i = 0; i < after.length; i++) after[i] += this.#pull[i];
      this.#pull.fill(0);
      this.#model = after;
      this.setResult(after);
      return undefined;
    }
    const { step } = block;
    const before = this.weights.slice();
    this.#waiting = { step, before, after };
    const partner = this.#asked[Math.floor(this.random.float() * this.#asked.length)];
    return netEncapsulation(partner, ["ask", this.nodeId, step, before]);
  }

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    if (Array.isArray(content) && content.length === 4) return this.#answer(content);
    const [, step, weights] = requireList(content, 3);
    requireVector(weights, this.layout.size, "weights of the node that was asked");
    const waiting = this.#waiting;
    if (waiting === undefined || step !== waiting.step) return undefined;
    this.#waiting = undefined;
    const { before, after } = waiting;
    for (let i = 0; i < after.length; i++) after[i] += (weights[i] - before[i]) / 2;
    this.setResult(after);
    return undefined;
  }

  override onSyncTimeout(): void {
    if (this.#waiting === undefined) return;
    this.setResult(this.#waiting.after);
    this.#waiting = undefined;
  }

  #answer([, node, step, weights]: readonly unknown[]): NetEncapsulation {
    const asking: readonly NodeId[] = this.settings.nodes.filter((other) => other % 2 === 0);
    requireId(node, asking, "asking node");
    requireCount(step, "step");
    requireVector(weights, this.layout.size, `weights of node ${node}`);
    const model = (this.#model ??= this.weights.slice());
    const answer = netEncapsulation(node, ["answer", step, model.slice()]);
    for (let i = 0; i < model.length; i++) {
      const pull = (weights[i] - model[i]) / 2;
      this.#pull[i] += pull;
      model[i] += pull;
    }
    return answer;
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }

  override exportState(): unknown {
    return { model: this.#model?.slice(), pull: this.#pull.slice() };
  }

  override importState(state: unknown): void {
    const saved = state as { model: Float32Array | undefined; pull: Float32Array };
    this.#model = saved.model?.slice();
    this.#pull = saved.pull.slice();
  }
}

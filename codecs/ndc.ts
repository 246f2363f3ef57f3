import {
  Codec,
  meanOf,
  netEncapsulation,
  requireId,
  requireList,
  requireStep,
  requireVector,
  type BlockId,
  type BlockWeight,
  type NetEncapsulation,
} from "@psgd/core";

/*
 * Naive duplication: every block is computed by r nodes, one of them sends it, and the others stand by.
 *
 * Algorithm
 * 1. Of the nodes that compute a block, the one with the lowest id sends it to all that do not, and tells the others that
 *    stand by that it has.
 * 2. A node that has all blocks, and has been told of all that it stands by for, takes their mean, in order of block ids:
 *    all have the same bits.
 * 3. One that was not told in time sends its copy itself: each block has r chances.
 *
 * Needs: ssgd or asgd (a step waits for all blocks in both); any redundancy, with 1 nobody stands by; no server.
 *
 * Sends: `[blockId, gradient, step]`, and `[blockId, null, step]` to those who stand by: 4d · b · (n − r) bytes per step over
 * the whole cluster, b blocks: r times fewer than `plain.Plain`, unless somebody is late.
 *
 * State: blocks of the step and of the steps ahead, 4d bytes each.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters: none.
 *
 * Source: `ndc` of Parallel-SGD 0.5, which is known by its name and by what it is the basis of: fault tolerance through
 * `do_something_to_save_yourself`.
 */

/** Sends each block once, and again when that was not enough. */
export class Ndc extends Codec {
  static override readonly carries = "gradients";

  readonly #blocksByStep = new Map<number, Map<BlockId, Float32Array>>();
  /** Blocks that their first holder has sent, by step. */
  readonly #sentByStep = new Map<number, Set<BlockId>>();
  /** Blocks that this node sends only if their first holder does not. */
  readonly #standingBy = this.settings.nodeToBlocks[this.nodeId].filter(
    (blockId) => this.settings.blockToNodes[blockId][0] !== this.nodeId,
  );
  #step = -1;
  #isComplete = false;

  override *updateBlocks({ blockId, content, step }: BlockWeight): Generator<NetEncapsulation> {
    if (step !== this.#step) this.#enter(step);
    const [first, ...others] = this.settings.blockToNodes[blockId];
    this.#blocksOf(step).set(blockId, content);
    if (first === this.nodeId) {
      yield this.#toOthers(blockId, content);
      yield netEncapsulation(others, [blockId, null, step]);
    }
    this.#combine();
  }

  override receiveBlocks(content: unknown): void {
    const [blockId, block, step] = requireList(content, 3);
    requireId(blockId, this.settings.blocks, "block id");
    requireStep(step, this.settings);
    if (step < this.#step || (step === this.#step && this.#isComplete)) return;
    if (block === null) {
      this.#sentOf(step).add(blockId);
    } else {
      requireVector(block, this.layout.size, `block ${blockId}`);
      if (!this.#blocksOf(step).has(blockId)) this.#blocksOf(step).set(blockId, block);
    }
    this.#combine();
  }

  override *onSyncTimeout(): Generator<NetEncapsulation> {
    const sent = this.#sentOf(this.#step);
    for (const blockId of this.#standingBy) {
      const block = this.#blocksOf(this.#step).get(blockId);
      if (block === undefined || sent.has(blockId)) continue;
      yield this.#toOthers(blockId, block);
      sent.add(blockId);
    }
    this.#combine();
  }

  override dispose(): void {
    this.#blocksByStep.clear();
    this.#sentByStep.clear();
  }

  #enter(step: number): void {
    for (const kept of [this.#blocksByStep, this.#sentByStep])
      for (const earlier of kept.keys()) if (earlier < step) kept.delete(earlier);
    this.#step = step;
    this.#isComplete = false;
  }

  #toOthers(blockId: BlockId, content: Float32Array): NetEncapsulation {
    return netEncapsulation(this.settings.nodesWithout(blockId), [blockId, content, this.#step]);
  }

  #blocksOf(step: number): Map<BlockId, Float32Array> {
    const blocks = this.#blocksByStep.get(step) ?? new Map<BlockId, Float32Array>();
    this.#blocksByStep.set(step, blocks);
    return blocks;
  }

  #sentOf(step: number): Set<BlockId> {
    const sent = this.#sentByStep.get(step) ?? new Set<BlockId>();
    this.#sentByStep.set(step, sent);
    return sent;
  }

  #combine(): void {
    const blocks = this.#blocksOf(this.#step);
    const sent = this.#sentOf(this.#step);
    if (this.#isComplete || blocks.size < this.settings.blockCount) return;
    if (!this.#standingBy.every((blockId) => sent.has(blockId))) return;
    this.setResult(meanOf(this.settings.blocks.map((id) => blocks.get(id)!)));
    this.#isComplete = true;
  }
}

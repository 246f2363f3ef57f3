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

/**
 * Averages the blocks of all nodes exactly, peer to peer: the codec that loses nothing.
 *
 * Algorithm
 * 1. Send each own block to the nodes that do not compute it.
 * 2. Keep own and received blocks by id; a second copy of a block changes nothing.
 * 3. With the last block of the step, the mean of all, summed in ascending order of ids, is the result.
 *
 * Needs: ssgd; any redundancy, and then a step does not wait for its slowest nodes; no parameter server.
 *
 * Sends: `[blockId, block, step]` from each of the r holders of a block to the n − r other nodes: 4d · b · r · (n − r)
 * bytes per step over the whole cluster, where b is the number of blocks; without redundancy 4d · n · (n − 1).
 *
 * State: none between steps; the blocks of the step at hand and their mean, 4d · (b + 1) bytes.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters: none.
 *
 * Source: `Plain` of Parallel-SGD. There sums follow the order of arrival, so that nodes drift apart bit by bit, and a
 * late copy counts in the next step; here the sum has a fixed order and messages say their step.
 */
export class Plain extends Codec {
  static override readonly carries = "gradients";

  /** By step: the blocks that have come. Of a later step than this node's only where a peer is ahead. */
  readonly #blocksByStep = new Map<number, Map<BlockId, Float32Array>>();
  #step = -1;
  #isComplete = false;
  readonly #mean = new Float32Array(this.layout.size);

  override updateBlocks({ blockId, content, step }: BlockWeight): NetEncapsulation {
    if (step !== this.#step) this.#enter(step);
    this.#keep(step, blockId, content);
    return netEncapsulation(this.settings.nodesWithout(blockId), [blockId, content, step]);
  }

  override receiveBlocks(content: unknown): void {
    const [blockId, block, step] = requireList(content, 3);
    requireId(blockId, this.settings.blocks, "block id");
    requireVector(block, this.layout.size, `block ${blockId}`);
    requireStep(step, this.settings);
    this.#keep(step, blockId, block);
  }

  override dispose(): void {
    this.#blocksByStep.clear();
  }

  #enter(step: number): void {
    for (const earlier of this.#blocksByStep.keys()) {
      if (earlier < step) this.#blocksByStep.delete(earlier);
    }
    this.#step = step;
    this.#isComplete = false;
  }

  #keep(step: number, blockId: BlockId, block: Float32Array): void {
    if (step < this.#step || (step === this.#step && this.#isComplete)) return;
    const blocks = this.#blocksByStep.get(step) ?? new Map<BlockId, Float32Array>();
    this.#blocksByStep.set(step, blocks);
    if (!blocks.has(blockId)) blocks.set(blockId, block);
    if (step === this.#step && blocks.size === this.settings.blockCount) this.#combine(blocks);
  }

  #combine(blocks: ReadonlyMap<BlockId, Float32Array>): void {
    const ordered = this.settings.blocks.map((blockId) => blocks.get(blockId)!);
    this.setResult(meanOf(ordered, undefined, this.#mean));
    this.#blocksByStep.delete(this.#step);
    this.#isComplete = true;
  }
}

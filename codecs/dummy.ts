import { Codec, OwnBlocks, type BlockWeight } from "@psgd/core";

/**
 * Keeps every node to itself: the codec that does nothing, to measure others against.
 *
 * Algorithm
 * 1. Gather the blocks that this node computes in a step.
 * 2. Their mean is the result.
 *
 * Needs: ssgd or asgd; any redundancy; no parameter server.
 *
 * Sends: nothing; 0 bytes per step.
 *
 * State: none between steps; without redundancy no memory of its own.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters: none.
 *
 * Source: `DummyCodec` of Parallel-SGD 0.9, which takes a missing codec for this one.
 */
export class DummyCodec extends Codec {
  static override readonly carries = "any";

  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);

  override updateBlocks(block: BlockWeight): void {
    const result = this.#ownBlocks.add(block);
    if (result !== undefined) this.setResult(result);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }
}

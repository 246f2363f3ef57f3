import {
  Codec,
  meanOf,
  netEncapsulation,
  requireId,
  requireVector,
  type BlockId,
  type BlockWeight,
  type NetEncapsulation,
} from "@psgd/core";

/**
 * Averages gradients peer to peer and says what it does: the codec of the tutorial.
 *
 * Algorithm
 * 1. Send each own block to the nodes that do not compute it.
 * 2. Keep own and received blocks.
 * 3. When all are there, their mean is the result.
 *
 * Needs: ssgd, which hands over a step's messages in that step only; any redundancy; no parameter server.
 *
 * Sends: `{ block, data }`: 4d · b · r · (n − r) bytes per step over the whole cluster, where b is the number of blocks;
 * without redundancy 4d · n · (n − 1).
 *
 * State: none between steps; the blocks of the step at hand, 4d · b bytes.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters: none.
 *
 * Source: `MyComCtrl` of Parallel-SGD's tutorial, which counted packages up to the number of nodes; with redundancy
 * that is not the number of blocks.
 */
export class MyComCtrl extends Codec {
  static override readonly carries = "gradients";

  readonly #blocks = new Map<BlockId, Float32Array>();

  override updateBlocks({ blockId, content }: BlockWeight): NetEncapsulation {
    this.log.info("Weights delta received.");
    this.log.info(`from block: ${blockId}`);
    this.log.info(`It has a content with shape: (${content.length},)`);
    this.#keep(blockId, content);
    return netEncapsulation(this.settings.nodesWithout(blockId), { block: blockId, data: content });
  }

  override receiveBlocks({ block, data }: { block: unknown; data: unknown }): void {
    this.log.info("I have received an package.");
    requireId(block, this.settings.blocks, "block id");
    requireVector(data, this.layout.size, `data of block ${block}`);
    this.#keep(block, data);
  }

  override dispose(): void {
    this.#blocks.clear();
    this.log.info("my communication controller is disposed.");
  }

  #keep(blockId: BlockId, data: Float32Array): void {
    this.#blocks.set(blockId, data);
    if (this.#blocks.size < this.settings.blockCount) return;

    // In the order of block ids, not of arrival, so that all nodes get the same bits.
    this.setResult(meanOf(this.settings.blocks.map((id) => this.#blocks.get(id)!)));
    this.#blocks.clear();
  }
}

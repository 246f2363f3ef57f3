import type { BlockWeight } from "./codec.js";

/**
 * Gathers the blocks that one node computes in a step, for codecs that send one message per step and not per block.
 * There is one block without redundancy, and may be several with it.
 */
export class OwnBlocks {
  readonly #blockCount: number;
  #sum: Float32Array | undefined;
  #gatheredCount = 0;

  /** @param blockCount - blocks that the node computes in each step */
  constructor(blockCount: number) {
    this.#blockCount = blockCount;
  }

  /**
   * Takes one block in.
   * @returns the mean of the step's blocks when this is the last of them, in the memory of the first one's content
   */
  add({ content }: BlockWeight): Float32Array | undefined {
    const sum = (this.#sum ??= content);
    if (sum !== content) for (let i = 0; i < sum.length; i++) sum[i]! += content[i]!;
    this.#gatheredCount++;
    if (this.#gatheredCount < this.#blockCount) return undefined;
    if (this.#blockCount > 1) for (let i = 0; i < sum.length; i++) sum[i]! /= this.#blockCount;
    this.clear();
    return sum;
  }

  /** Forgets the blocks of a step that is not complete. */
  clear(): void {
    this.#sum = undefined;
    this.#gatheredCount = 0;
  }
}

import { invariant, PsgdError, type BlockId } from "@psgd/core";
import type { SampleView } from "./transforms/transform.js";

/**
 * Says which samples each block of each step is computed from.
 *
 * The samples of an epoch, in the order of the view, are dealt out step by step and within a step block by block:
 * block b of step t has those from (t · blockCount + b) · batchSize on. So the blocks of a step are together the one
 * block of a job with a single block of blockCount · batchSize samples, and redundant nodes compute the same. What
 * does not fill a step at the end of an epoch is left out.
 */
export class BlockSampler {
  readonly stepsPerEpoch: number;
  readonly #view: SampleView;
  readonly #batchSize: number;
  readonly #blockCount: number;
  #epoch = -1;
  #order: Uint32Array = new Uint32Array();

  /**
   * @param size - samples per block, and blocks per step
   * @throws {PsgdError} SETTINGS_INVALID if there are fewer samples than one step needs
   */
  constructor(view: SampleView, size: { batchSize: number; blockCount: number }) {
    const { batchSize, blockCount } = size;
    for (const [name, value] of Object.entries({ batchSize, blockCount })) {
      if (!Number.isInteger(value) || value < 1) {
        throw new PsgdError(
          "SETTINGS_INVALID",
          `\`${name}\`: expected a whole number from 1, got ${value}`,
        );
      }
    }
    const { count } = view.samples;
    this.stepsPerEpoch = Math.floor(count / (batchSize * blockCount));
    if (this.stepsPerEpoch < 1) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `training data: expected at least ${batchSize * blockCount} samples for one step ` +
          `(${blockCount} blocks of ${batchSize}), got ${count}; lower \`--batch-size\` or the number of nodes`,
      );
    }
    this.#view = view;
    this.#batchSize = batchSize;
    this.#blockCount = blockCount;
  }

  /**
   * The rows of one block, `batchSize` of them; nobody writes into them.
   * @param step - counted over all epochs, from 0
   */
  rows({ step, blockId }: { step: number; blockId: BlockId }): Uint32Array {
    invariant(
      Number.isInteger(step) && step >= 0 && blockId >= 0 && blockId < this.#blockCount,
      `step ${step}, block ${blockId} of ${this.#blockCount}`,
    );
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (epoch !== this.#epoch) {
      this.#order = this.#view.order(epoch);
      this.#epoch = epoch;
    }
    const stepInEpoch = step - epoch * this.stepsPerEpoch;
    const start = (stepInEpoch * this.#blockCount + blockId) * this.#batchSize;
    return this.#order.subarray(start, start + this.#batchSize);
  }
}

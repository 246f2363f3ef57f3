import { permutation, PsgdError, seededRandom } from "@psgd/core";
import { sortedByLabel, trainingLabels } from "./labels.js";
import { ownSamples } from "./own-samples.js";
import type { Transform } from "./transform.js";

/**
 * Data that stays with its block: the samples are sorted by label and cut into as many equal shares as there are
 * blocks; block b is always computed from share b, so that a node meets only the labels of its blocks, in all epochs.
 *
 * `disorder` is the fraction of all samples, chosen at random, that change places at random across the shares: 0 leaves
 * each share with the fewest labels, 1 makes every share a random sample of all data. Which sample is whose depends on
 * the seed alone; within its share a sample comes where the order so far has it.
 */
export const trueNonIid: Transform<"batchSize" | "disorder"> = {
  description: "each block has its own share of the samples, with few labels",
  parameters: { batchSize: "whole number from 1", disorder: "fraction from 0 to 1" },
  apply: (data, { batchSize, disorder }, context) => {
    if (batchSize !== context.batchSize) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `transform \`true_non_iid\`: expected the job's batch size ${context.batchSize}, got ${batchSize}; ` +
          "with another one the blocks would get each other's samples",
      );
    }
    const { blockCount, seed } = context;
    const labels = trainingLabels(data.dataset, "true_non_iid");
    const shareOf = shares(labels, data.dataset.outputSize, { blockCount, disorder, seed });
    const stepCount = Math.floor(labels.length / (blockCount * batchSize));
    const size = { blockCount, batchSize, stepCount };
    return { ...data, train: ownSamples(data.train, shareOf, size) };
  },
};

/** By row: the block it belongs to. */
function shares(
  labels: Uint8Array,
  classCount: number,
  { blockCount, disorder, seed }: { blockCount: number; disorder: number; seed: number | string },
): Uint16Array {
  const count = labels.length;
  const rows = Uint32Array.from({ length: count }, (_, row) => row);
  const shareOf = new Uint16Array(count);
  sortedByLabel(rows, labels, classCount).forEach((row, position) => {
    shareOf[row] = Math.floor((position * blockCount) / count);
  });
  const random = seededRandom(seed).fork("true_non_iid");
  const moving = permutation(count, random).subarray(0, Math.round(disorder * count));
  const moved = permutation(moving.length, random).map((index) => shareOf[moving[index]!]!);
  moving.forEach((row, index) => {
    shareOf[row] = moved[index]!;
  });
  return shareOf;
}

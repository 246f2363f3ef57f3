import { permutation, PsgdError, seededRandom } from "@psgd/core";
import { sortedByLabel, trainingLabels } from "./labels.js";
import { ownSamples } from "./own-samples.js";
import type { Transform } from "./transform.js";

/**
 * Data that stays with its block, as clients of federated learning have it: the samples are sorted by label, cut into
 * `perBlock` equal shards for each block, and the shards dealt out at random. Block b is always computed from its own,
 * in all epochs; within them a sample comes where the order so far has it.
 *
 * Few shards per block give it few labels: with 2 at most as many as two shards touch. As many shards as it has samples
 * make its data a random part of all. What is left over after the last full shard is dealt out sample by sample.
 *
 * Source: McMahan et al. 2017, arXiv 1602.05629, section 3: 200 shards of 300 for 100 clients.
 */
export const shards: Transform<"perBlock"> = {
  description: "each block has its own `perBlock` shards of the samples sorted by label",
  parameters: { perBlock: "whole number from 1" },
  apply: (data, { perBlock }, { blockCount, batchSize, seed }) => {
    const labels = trainingLabels(data.dataset, "shards");
    const shardSize = Math.floor(labels.length / (blockCount * perBlock));
    if (shardSize < 1) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `transform \`shards\`: expected at most ${Math.floor(labels.length / blockCount)} shards for each of ${blockCount} blocks ` +
          `of ${labels.length} samples, got ${perBlock}; lower \`perBlock\``,
      );
    }
    const rows = Uint32Array.from(labels.keys());
    const sorted = sortedByLabel(rows, labels, data.dataset.outputSize);
    const dealt = permutation(blockCount * perBlock, seededRandom(seed).fork("shards"));
    const blockOf = new Uint16Array(labels.length);
    dealt.forEach((shard, place) => {
      for (const row of sorted.subarray(shard * shardSize, (shard + 1) * shardSize))
        blockOf[row] = Math.floor(place / perBlock);
    });
    sorted.subarray(dealt.length * shardSize).forEach((row, index) => {
      blockOf[row] = index % blockCount;
    });
    const stepCount = Math.floor(labels.length / (blockCount * batchSize));
    const size = { blockCount, batchSize, stepCount };
    return { ...data, train: ownSamples(data.train, blockOf, size) };
  },
};

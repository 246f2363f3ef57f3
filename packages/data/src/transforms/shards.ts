import { permutation, PsgdError, seededRandom, type BlockId } from "@psgd/core";
import { sortedByLabel, trainingLabels } from "./labels.js";
import type { Transform } from "./transform.js";

/**
 * Data that stays with its block, as clients of federated learning have it: the samples are sorted by label, cut into
 * `perBlock` equal shards for each block, and the shards dealt out at random. Block b is always computed from its own,
 * in all epochs; within them a sample comes where the order so far has it.
 *
 * Few shards per block give it few labels: with 2 at most as many as two shards touch. As many shards as it has samples
 * make its data a random part of all. Rows left over after the last full shard are in no block.
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
    const blockOf = owners(labels, data.dataset.outputSize, {
      blockCount,
      perBlock,
      shardSize,
      seed,
    });
    const stepCount = Math.floor((perBlock * shardSize) / batchSize);
    return {
      ...data,
      train: {
        ...data.train,
        order: (epoch) => {
          const order = new Uint32Array(labels.length);
          const taken = new Uint32Array(blockCount);
          // What fills no step comes last, where no step of a sampler reaches.
          let rest = stepCount * blockCount * batchSize;
          for (const row of data.train.order(epoch)) {
            const block = blockOf[row]!;
            const position = block < 0 ? Infinity : taken[block]!++;
            const step = Math.floor(position / batchSize);
            const place = (step * blockCount + block) * batchSize + (position % batchSize);
            order[step < stepCount ? place : rest++] = row;
          }
          return order;
        },
      },
    };
  },
};

/** By row: the block it belongs to, −1 if none. */
function owners(
  labels: Uint8Array,
  classCount: number,
  size: { blockCount: number; perBlock: number; shardSize: number; seed: number | string },
): Int32Array {
  const { blockCount, perBlock, shardSize, seed } = size;
  const rows = Uint32Array.from({ length: labels.length }, (_, row) => row);
  const sorted = sortedByLabel(rows, labels, classCount);
  const blockOf = new Int32Array(labels.length).fill(-1);
  const dealt = permutation(blockCount * perBlock, seededRandom(seed).fork("shards"));
  dealt.forEach((shard, place) => {
    const block: BlockId = Math.floor(place / perBlock);
    for (const row of sorted.subarray(shard * shardSize, (shard + 1) * shardSize)) {
      blockOf[row] = block;
    }
  });
  return blockOf;
}

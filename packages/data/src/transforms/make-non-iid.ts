import { permutation, seededRandom } from "@psgd/core";
import { sortedByLabel, trainingLabels } from "./labels.js";
import type { Transform } from "./transform.js";

/**
 * Batches of one label: the samples, in the order so far, are sorted by label and cut into runs of `batchSize`; the
 * runs follow each other in a random order that the seed fixes for all epochs.
 *
 * A run holds one label, except the runs across a border between labels (at most one per border). With the job's own
 * batch size each block of a step is one run, so the blocks of a step differ in label while each node meets all labels
 * in the course of an epoch. Rows left over after the last full run come last.
 */
export const makeNonIid: Transform<"batchSize"> = {
  description: "runs of `batchSize` samples with the same label, in random order",
  parameters: { batchSize: "whole number from 1" },
  apply: (data, { batchSize }, { seed }) => {
    const labels = trainingLabels(data.dataset, "make_non_iid");
    const runCount = Math.floor(labels.length / batchSize);
    const runs = permutation(runCount, seededRandom(seed).fork("make_non_iid"));
    return {
      ...data,
      train: {
        ...data.train,
        order: (epoch) => {
          const sorted = sortedByLabel(data.train.order(epoch), labels, data.dataset.outputSize);
          const order = sorted.slice();
          runs.forEach((run, place) => {
            order.set(sorted.subarray(run * batchSize, (run + 1) * batchSize), place * batchSize);
          });
          return order;
        },
      },
    };
  },
};

import { PsgdError } from "@psgd/core";
import type { Dataset } from "../dataset.js";

/**
 * The labels of the training samples, by row.
 * @throws {PsgdError} SETTINGS_INVALID if the dataset has none
 */
export function trainingLabels(dataset: Dataset, transform: string): Uint8Array {
  const { targets } = dataset.train;
  if (dataset.task !== "classification" || !(targets instanceof Uint8Array)) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `transform \`${transform}\`: expected a dataset with labels, got \`${dataset.name}\`; leave it out`,
    );
  }
  return targets;
}

/** The given rows sorted by label; rows of one label stay in the order given. */
export function sortedByLabel(
  rows: Uint32Array,
  labels: Uint8Array,
  classCount: number,
): Uint32Array {
  const next = new Uint32Array(classCount + 1);
  for (const label of labels) next[label + 1]!++;
  for (let label = 0; label < classCount; label++) next[label + 1]! += next[label]!;
  const sorted = new Uint32Array(rows.length);
  for (const row of rows) sorted[next[labels[row]!]!++] = row;
  return sorted;
}

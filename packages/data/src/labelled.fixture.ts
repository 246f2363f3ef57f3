import { createDataset } from "./create-dataset.js";
import type { Dataset } from "./dataset.js";

/** Two-pixel images whose bytes tell their row and whose labels are given. */
export function labelled(labels: readonly number[], classCount = 10): Dataset {
  const samples = {
    count: labels.length,
    inputs: Uint8Array.from(labels.flatMap((_, row) => [row >> 8, row & 255])),
    targets: Uint8Array.from(labels),
  };
  return createDataset({
    name: "labelled",
    task: "classification",
    inputShape: [2],
    outputSize: classCount,
    train: samples,
    test: samples,
    synthetic: true,
  });
}

/** Rows that each have as many values as there are outputs. */
export function regression(inputs: readonly number[], targets: readonly number[]): Dataset {
  const samples = {
    count: targets.length,
    inputs: Float32Array.from(inputs),
    targets: Float32Array.from(targets),
  };
  return createDataset({
    name: "regression",
    task: "regression",
    inputShape: [inputs.length / targets.length],
    outputSize: 1,
    train: samples,
    test: samples,
    synthetic: true,
  });
}

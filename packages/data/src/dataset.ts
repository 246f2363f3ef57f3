export type Task = "classification" | "regression";

/** Rows of a dataset, as they are stored: one after the other, without gaps. */
export interface Samples {
  readonly count: number;
  /** `count` rows of as many values as `inputShape` has: bytes 0 … 255 (images) or floats. */
  readonly inputs: Uint8Array | Float32Array;
  /** Classification: one label 0 … outputSize − 1 per row. Regression: `outputSize` values per row. */
  readonly targets: Uint8Array | Float32Array;
}

/** What a dataset is made of. */
export interface DatasetContent {
  readonly name: string;
  readonly task: Task;
  /** Extents of one input row, for example `[28, 28]`. */
  readonly inputShape: readonly number[];
  /** Classes, or values per target row. */
  readonly outputSize: number;
  readonly train: Samples;
  readonly test: Samples;
  /** Whether it was made by our own code and stands for no measurement of the world. */
  readonly synthetic: boolean;
}

/** A dataset in memory. Nobody writes into its arrays. */
export interface Dataset extends DatasetContent {
  /** SHA-256 of its packed form (`datasetToBytes`), lower-case hexadecimal: equal hash, equal data. */
  readonly sha256: string;
}

/** Number of values in one row of this shape. */
export function rowSize(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

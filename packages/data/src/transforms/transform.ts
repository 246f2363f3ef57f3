import type { Dataset, Samples } from "../dataset.js";

/** Samples as a model gets them: which rows in which order, and what their bytes stand for. */
export interface SampleView {
  readonly samples: Samples;
  /** Values per row of the model's input. */
  readonly inputSize: number;
  /** Values per row of the model's target. */
  readonly targetSize: number;
  /** What each byte of 8-bit inputs stands for: 256 values. */
  readonly byteValues: Float32Array;
  /** Whether a label becomes `targetSize` values, 1 at its place and 0 elsewhere. */
  readonly oneHot: boolean;
  /** The rows of an epoch in the order in which they are visited, each once. Nobody writes into it. */
  order(epoch: number): Uint32Array;
}

/** A dataset on its way through the transforms. */
export interface PreparedData {
  readonly dataset: Dataset;
  readonly train: SampleView;
  /** In stored order, always. */
  readonly test: SampleView;
}

/** What a transform may depend on besides the data; all of it is the same on every node of a job. */
export interface TransformContext {
  readonly seed: number | string;
  /** Blocks per step. */
  readonly blockCount: number;
  /** Samples per block. */
  readonly batchSize: number;
}

/** What a parameter of a transform must be. */
export type ParameterRule = "whole number from 1" | "fraction from 0 to 1";

/** Parameters by name, checked. */
type Parameters<Names extends string> = Readonly<Record<Names, number>>;

/** A step of the way from stored samples to what a model is fed. */
export interface Transform<Names extends string = string> {
  /** One sentence for lists and help. */
  readonly description: string;
  readonly parameters: Readonly<Record<Names, ParameterRule>>;
  apply(data: PreparedData, parameters: Parameters<Names>, context: TransformContext): PreparedData;
}

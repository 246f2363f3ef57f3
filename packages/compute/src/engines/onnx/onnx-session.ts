import type { PlanArray, PlanDType } from "@psgd/core";

/** A tensor of a session: its memory may be another at each run, its type and shape stay. */
export interface OnnxTensor {
  readonly location: "cpu";
  readonly type: PlanDType;
  readonly dims: readonly number[];
  /** Not backed by shared memory. */
  data: PlanArray;
}

/** Tensors by the model's names. */
export type OnnxTensors = Readonly<Record<string, OnnxTensor>>;

/** A model opened for these feeds and fetches. */
export interface OnnxSession {
  /** Reads the feeds' memory and writes that of the fetches, before it returns. */
  run(): void;
  dispose(): void;
}

/** Opens a model; throws what the library says if it refuses the model. */
export type OpenSession = (
  model: Uint8Array,
  feeds: OnnxTensors,
  fetches: OnnxTensors,
) => OnnxSession;

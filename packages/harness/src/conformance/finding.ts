import type { TrainingCurves } from "./training-curves.js";

/** What the kit examines, and what each is about. */
export const CHECKS = {
  results: "every node gets a result in each step",
  agreement: "all nodes end with the same model",
  repeats: "the same seed gives the same bits",
  order: "the order in which messages arrive does not show",
  mean: "the model moves by the mean of all blocks",
  bias: "what chance adds cancels out",
  contraction: "one exchange brings the model nearer to the mean",
  feedback: "what an exchange leaves out comes later",
  convergence: "training a convex problem ends at its minimum",
  digits: "training on `digits` ends as with the exact mean",
  "not finite": "zeros do not become NaN, and a NaN is refused or seen by all",
  state: "export and import leave nothing out",
  inputs: "what it is handed stays as it was while others may look at it",
  memory: "arrays of earlier steps are let go",
  bytes: "bytes against sending everything",
  network: "loss, disorder, duplicates, cuts and pauses change nothing",
} as const;

export type CheckName = keyof typeof CHECKS;

/**
 * `wrong`: no codec should do this. `note`: fine for some codecs, and worth knowing. `skipped`: another finding comes
 * first.
 */
export type Verdict = "ok" | "note" | "wrong" | "skipped";

/** What one check has found. */
export interface Finding {
  readonly check: CheckName;
  readonly verdict: Verdict;
  /** The measured value, with its unit. */
  readonly number: string;
  readonly text: string;
  /** Shows it again. */
  readonly seed: number;
  /** A failing schedule, if there is one: a numbered list. */
  readonly story: string | undefined;
  /** What `psgd codec simulate` must be told, besides the codec and its parameters, to show it again. */
  readonly replay?: string;
  /** How training went, for plots. */
  readonly curves?: TrainingCurves;
}

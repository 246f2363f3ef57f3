import { digits } from "./digits.js";
import { mnist } from "./mnist.js";
import { simlin } from "./simlin.js";
import type { DatasetSource } from "./source.js";

export type DatasetName = "mnist" | "digits" | "simlin";

/** The datasets by their command-line names. */
export const DATASETS = { mnist, digits, simlin } as const satisfies Record<
  DatasetName,
  DatasetSource
>;

import { digits } from "./digits.js";
import { markov } from "./markov.js";
import { mnist } from "./mnist.js";
import { simlin } from "./simlin.js";
import type { DatasetSource } from "./source.js";

export type DatasetName = "mnist" | "digits" | "simlin" | "markov";

/** The datasets by their command-line names. */
export const DATASETS = { mnist, digits, simlin, markov } as const satisfies Record<
  DatasetName,
  DatasetSource
>;

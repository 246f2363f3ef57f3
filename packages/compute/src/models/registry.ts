import { lenet5 } from "./lenet5.js";
import { linear } from "./linear.js";
import { mcmahanCnn } from "./mcmahan-cnn.js";
import { mlp } from "./mlp.js";
import { lstmChar } from "./lstm-char.js";
import type { ModelBuilder } from "./model-builder.js";
import { twoNn } from "./two-nn.js";

/** The models that jobs can name. `logistic` is `linear` under the name it has for classification. */
export const MODELS = {
  linear,
  logistic: linear,
  mlp,
  "2nn": twoNn,
  lenet5,
  "mcmahan-cnn": mcmahanCnn,
  "lstm-char": lstmChar,
} as const satisfies Record<string, ModelBuilder>;

export type ModelName = keyof typeof MODELS;

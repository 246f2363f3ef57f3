import { adadelta } from "./adadelta.js";
import { adagrad } from "./adagrad.js";
import { adam } from "./adam.js";
import type { GradientDescentRule } from "./gradient-descent.js";
import { gradientDecay } from "./gradient-decay.js";
import { momentum } from "./momentum.js";
import { rmsprop } from "./rmsprop.js";
import { sgd } from "./sgd.js";

export type GradientDescentName =
  "sgd" | "momentum" | "adam" | "rmsprop" | "adagrad" | "adadelta" | "gradient_decay";

/** The rules of gradient descent by their command-line names. */
export const GRADIENT_DESCENTS = {
  sgd,
  momentum,
  adam,
  rmsprop,
  adagrad,
  adadelta,
  gradient_decay: gradientDecay,
} as const satisfies Record<GradientDescentName, GradientDescentRule>;

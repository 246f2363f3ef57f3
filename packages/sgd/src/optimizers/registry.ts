import { doubleBuffering } from "./double-buffering.js";
import { gradientAveraging } from "./gradient-averaging.js";
import type { OptimizerRule } from "./optimizer-rule.js";
import { parallelSgd } from "./parallel-sgd.js";
import { parameterAveraging } from "./parameter-averaging.js";

export type OptimizerName =
  "parallel_sgd" | "gradient_averaging" | "parameter_averaging" | "double_buffering";

/** The optimizers by their command-line names; where several fit a codec, the first is its default. */
export const OPTIMIZERS = {
  parallel_sgd: parallelSgd,
  gradient_averaging: gradientAveraging,
  parameter_averaging: parameterAveraging,
  double_buffering: doubleBuffering,
} as const satisfies Record<OptimizerName, OptimizerRule>;

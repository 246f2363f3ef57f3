import type { OptimizerRule } from "./optimizer-rule.js";
import { parallelSgd } from "./parallel-sgd.js";

/** `parallel_sgd` with results one step late, so that computing overlaps communication. */
export const doubleBuffering: OptimizerRule = { ...parallelSgd, resultDelay: 1 };

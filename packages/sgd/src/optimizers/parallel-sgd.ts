import type { OptimizerRule } from "./optimizer-rule.js";

/** Sends what gradient descent would subtract, subtracts what comes back. */
export const parallelSgd: OptimizerRule = {
  carries: "gradients",
  returns: "gradients",
  resultDelay: 0,
  content: () => {},
  apply: (result, weights) => {
    for (let i = 0; i < weights.length; i++) weights[i]! -= result[i]!;
  },
};

import type { OptimizerRule } from "./optimizer-rule.js";

/** Takes the step by itself and sends the new weights; what comes back are the weights to go on with. */
export const parameterAveraging: OptimizerRule = {
  carries: "weights",
  returns: "weights",
  resultDelay: 0,
  content: (delta, weights) => {
    for (let i = 0; i < delta.length; i++) delta[i] = weights[i]! - delta[i]!;
  },
  apply: (result, weights) => {
    weights.set(result);
  },
};

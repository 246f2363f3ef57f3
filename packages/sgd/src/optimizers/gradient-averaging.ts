import type { OptimizerRule } from "./optimizer-rule.js";

/** Sends what gradient descent would subtract; what comes back is how far the model has moved since the job began. */
export const gradientAveraging: OptimizerRule = {
  carries: "gradients",
  returns: "displacement",
  resultDelay: 0,
  content: () => {},
  apply: (result, weights, initialWeights) => {
    for (let i = 0; i < weights.length; i++) weights[i] = initialWeights[i]! + result[i]!;
  },
};

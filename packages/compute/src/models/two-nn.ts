import { elementCount } from "../kernels/kernel-call.js";
import type { ModelBuilder } from "./model-builder.js";

/**
 * Two hidden layers of 200 relu units, logits out: 784-200-200-10 has 199,210 weights. The `2NN` of McMahan et al. 2017
 * (arXiv 1602.05629, section 3).
 */
export const twoNn: ModelBuilder = (tensorflow, { inputShape, outputSize }) => {
  const { dense, reshape } = tensorflow.layers;
  const inputSize = elementCount(inputShape);
  return tensorflow.sequential({
    name: "2nn",
    layers: [
      reshape({ name: "flatten", inputShape: [...inputShape], targetShape: [inputSize] }),
      dense({ name: "hidden1", units: 200, activation: "relu" }),
      dense({ name: "hidden2", units: 200, activation: "relu" }),
      dense({ name: "output", units: outputSize }),
    ],
  });
};

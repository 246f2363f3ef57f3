import { elementCount } from "../kernels/kernel-call.js";
import type { ModelBuilder } from "./model-builder.js";

/** Two hidden layers of 128 tanh units, logits out: 784-128-128-10 has 118,282 weights. */
export const mlp: ModelBuilder = (tensorflow, { inputShape, outputSize }) => {
  const { dense, reshape } = tensorflow.layers;
  const inputSize = elementCount(inputShape);
  return tensorflow.sequential({
    name: "mlp",
    layers: [
      reshape({ name: "flatten", inputShape: [...inputShape], targetShape: [inputSize] }),
      dense({ name: "hidden1", units: 128, activation: "tanh" }),
      dense({ name: "hidden2", units: 128, activation: "tanh" }),
      dense({ name: "output", units: outputSize }),
    ],
  });
};

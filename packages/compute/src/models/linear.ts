import { elementCount } from "../kernels/kernel-call.js";
import type { ModelBuilder } from "./model-builder.js";

/** One affine layer: linear regression, or with a softmax loss logistic regression. */
export const linear: ModelBuilder = (tensorflow, { inputShape, outputSize }) => {
  const { dense, reshape } = tensorflow.layers;
  const inputSize = elementCount(inputShape);
  return tensorflow.sequential({
    name: "linear",
    layers: [
      reshape({ name: "flatten", inputShape: [...inputShape], targetShape: [inputSize] }),
      dense({ name: "output", units: outputSize }),
    ],
  });
};

import { imageShapeOf } from "./image-shape.js";
import type { ModelBuilder } from "./model-builder.js";

/**
 * Two convolutions of 5 x 5 (6, then 16 channels), each with 2 x 2 average pooling, then 120 and 84 tanh units, logits
 * out: 61,706 weights for 28 x 28 pixels and 10 classes. After LeCun et al. 1998, section II-B, with full connections
 * between the maps and a linear output.
 */
export const lenet5: ModelBuilder = (tensorflow, { inputShape, outputSize }) => {
  const { averagePooling2d, conv2d, dense, flatten, reshape } = tensorflow.layers;
  const common = { kernelSize: 5, activation: "tanh" } as const;
  return tensorflow.sequential({
    name: "lenet5",
    layers: [
      reshape({
        name: "image",
        inputShape: [...inputShape],
        targetShape: imageShapeOf(inputShape),
      }),
      conv2d({ ...common, name: "conv1", filters: 6, padding: "same" }),
      averagePooling2d({ name: "pool1", poolSize: 2, strides: 2 }),
      conv2d({ ...common, name: "conv2", filters: 16 }),
      averagePooling2d({ name: "pool2", poolSize: 2, strides: 2 }),
      flatten({ name: "flatten" }),
      dense({ name: "hidden1", units: 120, activation: "tanh" }),
      dense({ name: "hidden2", units: 84, activation: "tanh" }),
      dense({ name: "output", units: outputSize }),
    ],
  });
};

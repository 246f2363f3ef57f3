import { imageShapeOf } from "./image-shape.js";
import type { ModelBuilder } from "./model-builder.js";

/**
 * Two convolutions of 5 x 5 (32, then 64 channels), each with 2 x 2 max pooling, then 512 relu units, logits out:
 * 1,663,370 weights for 28 x 28 pixels and 10 classes. The `CNN` of McMahan et al. 2017 (arXiv 1602.05629, section 3).
 */
export const mcmahanCnn: ModelBuilder = (tensorflow, { inputShape, outputSize }) => {
  const { conv2d, dense, flatten, maxPooling2d, reshape } = tensorflow.layers;
  const convolution = (name: string, filters: number) =>
    conv2d({ name, filters, kernelSize: 5, padding: "same", activation: "relu" });
  return tensorflow.sequential({
    name: "mcmahan-cnn",
    layers: [
      reshape({
        name: "image",
        inputShape: [...inputShape],
        targetShape: imageShapeOf(inputShape),
      }),
      convolution("conv1", 32),
      maxPooling2d({ name: "pool1", poolSize: 2, strides: 2 }),
      convolution("conv2", 64),
      maxPooling2d({ name: "pool2", poolSize: 2, strides: 2 }),
      flatten({ name: "flatten" }),
      dense({ name: "hidden", units: 512, activation: "relu" }),
      dense({ name: "output", units: outputSize }),
    ],
  });
};

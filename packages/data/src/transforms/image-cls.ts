import { PsgdError } from "@psgd/core";
import type { SampleView, Transform } from "./transform.js";

/**
 * Images for a classifier: a byte x becomes x / 255 - 0.5, a label becomes a one-hot vector. Nothing is stored anew;
 * `fillBatch` does it for each batch.
 */
export const imageCls: Transform<never> = {
  description: "bytes become x / 255 - 0.5, labels become one-hot vectors",
  parameters: {},
  apply: (data) => {
    const { dataset } = data;
    if (dataset.task !== "classification" || !(dataset.train.inputs instanceof Uint8Array)) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `transform \`image_cls\`: expected a dataset of 8-bit images with labels, got \`${dataset.name}\`; leave it out`,
      );
    }
    const byteValues = Float32Array.from({ length: 256 }, (_, byte) => byte / 255 - 0.5);
    const encoded = (view: SampleView): SampleView => ({
      ...view,
      byteValues,
      oneHot: true,
      targetSize: dataset.outputSize,
    });
    return { ...data, train: encoded(data.train), test: encoded(data.test) };
  },
};

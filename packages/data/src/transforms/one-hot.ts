import { PsgdError } from "@psgd/core";
import type { SampleView, Transform } from "./transform.js";

/** Labels for a classifier of anything that is no image: a label becomes a one-hot vector, inputs stay as they are. */
export const oneHot: Transform<never> = {
  description: "labels become one-hot vectors, inputs stay as they are",
  parameters: {},
  apply: (data) => {
    const { dataset } = data;
    if (dataset.task !== "classification") {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `transform \`one_hot\`: expected a dataset with labels, got \`${dataset.name}\`; leave it out`,
      );
    }
    const encoded = (view: SampleView): SampleView => ({
      ...view,
      oneHot: true,
      targetSize: dataset.outputSize,
    });
    return { ...data, train: encoded(data.train), test: encoded(data.test) };
  },
};

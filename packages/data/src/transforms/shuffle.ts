import { permutation, seededRandom } from "@psgd/core";
import type { Transform } from "./transform.js";

/** Visits the training samples in another random order each epoch: the order so far, permuted by seed and epoch. */
export const shuffle: Transform<never> = {
  description: "a new seeded order of the training samples each epoch",
  parameters: {},
  apply: (data, _parameters, { seed }) => {
    const random = seededRandom(seed).fork("shuffle");
    return {
      ...data,
      train: {
        ...data.train,
        order: (epoch) => {
          const before = data.train.order(epoch);
          return permutation(before.length, random.fork(`epoch ${epoch}`)).map(
            (position) => before[position]!,
          );
        },
      },
    };
  },
};

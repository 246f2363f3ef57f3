import type { ModelBuilder } from "./model-builder.js";

/** As many as there are bytes, so that any text will do. */
const VOCABULARY = 256;

/**
 * Embedding of 8, two LSTMs of 256 units, logits out: the next character after a text, whose characters are given as
 * numbers below 256. The character model of McMahan et al. 2017 (arXiv 1602.05629, section 3).
 */
export const lstmChar: ModelBuilder = (tensorflow, { inputShape, outputSize }) => {
  const { dense, embedding, lstm } = tensorflow.layers;
  // TensorFlow.js takes minutes to make an orthogonal matrix of this size.
  const common = { units: 256, recurrentInitializer: "glorotUniform" } as const;
  const length = inputShape.reduce((product, extent) => product * extent, 1);
  return tensorflow.sequential({
    name: "lstm-char",
    layers: [
      embedding({
        name: "characters",
        inputDim: VOCABULARY,
        outputDim: 8,
        inputLength: length,
      }),
      lstm({ ...common, name: "lstm1", returnSequences: true }),
      lstm({ ...common, name: "lstm2" }),
      dense({ name: "output", units: outputSize }),
    ],
  });
};

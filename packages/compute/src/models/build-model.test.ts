import { describe, expect, it } from "vitest";
import { isPsgdError } from "@psgd/core";
import { loadTensorFlow } from "../tensorflow.js";
import { buildModel } from "./build-model.js";
import type { ModelBuilder } from "./model-builder.js";
import { MODELS } from "./registry.js";

const tensorflow = loadTensorFlow();
const shape = { inputShape: [6], outputSize: 3 };
const options = { ...shape, name: "test", seed: 1 };

function weightsOf(builder: ModelBuilder, seed: number): number[] {
  const model = buildModel(builder, { ...options, seed });
  const weights = model.getWeights().flatMap((weight) => [...weight.dataSync()]);
  model.dispose();
  return weights;
}

const initializers = [
  "glorotNormal",
  "glorotUniform",
  "heNormal",
  "heUniform",
  "leCunNormal",
  "randomNormal",
  "randomUniform",
  "truncatedNormal",
  "varianceScaling",
  "orthogonal",
] as const;

describe("buildModel", () => {
  it.each(initializers)("repeats the weights of %s from the seed", (kernelInitializer) => {
    const builder: ModelBuilder = ({ layers, sequential }) =>
      sequential({ layers: [layers.dense({ units: 3, inputShape: [6], kernelInitializer })] });
    const weights = weightsOf(builder, 1);
    expect(weightsOf(builder, 1)).toEqual(weights);
    expect(weightsOf(builder, 2)).not.toEqual(weights);
  });

  it("gives Math.random back, also when the builder throws", () => {
    const original = Math.random;
    weightsOf(MODELS.mlp, 1);
    expect(Math.random).toBe(original);
    expect(() =>
      buildModel(() => {
        throw new Error("no such file");
      }, options),
    ).toThrow(/^MODEL_INVALID: model `test`: expected a model, got "no such file"/);
    expect(Math.random).toBe(original);
  });

  it.each([
    ["mlp", [784], 118_282],
    ["mlp", [28, 28, 1], 118_282],
    ["linear", [13], 140],
    ["logistic", [784], 7_850],
    ["2nn", [784], 199_210],
    ["mcmahan-cnn", [784], 1_663_370],
    ["mcmahan-cnn", [28, 28, 1], 1_663_370],
    ["lenet5", [784], 61_706],
    // 256 * 8; then 4 * units * (inputs + units + 1) for each LSTM; 257 * 10.
    ["lstm-char", [20], 2_048 + 4 * 256 * (8 + 257) + 4 * 256 * (256 + 257) + 2_570],
  ] as const)("builds %s for samples of shape %j with %d weights", (name, inputShape, count) => {
    const model = buildModel(MODELS[name], { name, inputShape, outputSize: 10, seed: 1 });
    expect(model.countParams()).toBe(count);
    expect(model.outputs[0]!.shape).toEqual([null, 10]);
    model.dispose();
  });

  const dense = (units: number, inputShape = [6]): ReturnType<ModelBuilder> =>
    tensorflow.sequential({ layers: [tensorflow.layers.dense({ units, inputShape })] });
  const refused: [string, unknown, RegExp][] = [
    ["nothing", undefined, /a function as default export, got undefined; export default/],
    ["a model instead of a function", {}, /a function as default export, got an object/],
    ["a function that returns nothing", () => {}, /expected a LayersModel, got undefined/],
    ["a promise", async () => dense(3), /got a promise; return the model itself/],
    [
      "a layer",
      () => tensorflow.layers.dense({ units: 3 }),
      /expected a LayersModel, got an object of class Dense/,
    ],
    [
      "a model of another copy",
      () => ({ trainableWeights: [], layers: [] }),
      /another copy of TensorFlow.js/,
    ],
    ["another input shape", () => dense(3, [7]), /input shape \[6\] as in the dataset, got \[7\]/],
    ["another output size", () => dense(4), /output shape \[3\] as in the dataset, got \[4\]/],
    [
      "an output of more axes",
      () =>
        tensorflow.sequential({
          layers: [
            tensorflow.layers.reshape({ targetShape: [2, 3], inputShape: [6] }),
            tensorflow.layers.dense({ units: 3 }),
          ],
        }),
      /output shape \[3\] .*got \[2,3\]/,
    ],
    ["an empty model", () => tensorflow.sequential(), /model is empty/],
    [
      "a first layer without input shape",
      () => tensorflow.sequential({ layers: [tensorflow.layers.dense({ units: 3 })] }),
      /must get an `inputShape`/,
    ],
    [
      "frozen weights only",
      () =>
        tensorflow.sequential({
          layers: [tensorflow.layers.dense({ units: 3, inputShape: [6], trainable: false })],
        }),
      /expected trainable weights, got none/,
    ],
    [
      "two inputs",
      () => {
        const [a, b] = [tensorflow.input({ shape: [6] }), tensorflow.input({ shape: [6] })];
        const sum = tensorflow.layers.add().apply([a, b]) as typeof a;
        return tensorflow.model({
          inputs: [a, b],
          outputs: tensorflow.layers.dense({ units: 3 }).apply(sum) as typeof a,
        });
      },
      /one input and one output, got 2 and 1/,
    ],
  ];
  it.each(refused)("refuses %s", (_, builder, message) => {
    let refusal: unknown;
    try {
      buildModel(builder, options);
    } catch (error) {
      refusal = error;
    }
    expect(isPsgdError(refusal, "MODEL_INVALID"), String(refusal)).toBe(true);
    expect((refusal as Error).message).toMatch(message);
  });
});

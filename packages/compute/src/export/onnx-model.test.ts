import type * as tf from "@tensorflow/tfjs";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { seededRandom } from "@psgd/core";
import { buildModel } from "../models/build-model.js";
import type { ModelBuilder } from "../models/model-builder.js";
import { MODELS } from "../models/registry.js";
import { loadTensorFlow } from "../tensorflow.js";
import { traceModel } from "../trace/trace-model.js";
import { onnxModelFile } from "./onnx-model.js";

const tensorflow = loadTensorFlow();

function network(...hidden: ((layers: typeof tf.layers) => tf.layers.Layer)[]): ModelBuilder {
  return ({ layers, sequential }, { inputShape, outputSize }) => {
    const model = sequential();
    model.add(layers.inputLayer({ inputShape: [...inputShape] }));
    for (const layer of hidden) model.add(layer(layers));
    model.add(layers.dense({ units: outputSize, activation: "softmax" }));
    return model;
  };
}

const CASES: readonly [name: string, builder: ModelBuilder, inputShape: number[]][] = [
  ["mlp", MODELS.mlp, [784]],
  ["lenet5", MODELS.lenet5, [784]],
  ["mcmahan-cnn", MODELS["mcmahan-cnn"], [784]],
  [
    "batch normalisation and dropout",
    network(
      (l) => l.dense({ units: 8 }),
      (l) => l.batchNormalization(),
      (l) => l.dropout({ rate: 0.5 }),
    ),
    [5],
  ],
  ["an lstm", network((l) => l.lstm({ units: 3 })), [4, 3]],
  ["a long lstm", network((l) => l.lstm({ units: 3 })), [40, 3]],
];

async function predictWithOnnx(file: Uint8Array, x: Float32Array, shape: number[]) {
  const session = await InferenceSession.create(file);
  const { prediction } = await session.run({ x: new Tensor("float32", x, shape) });
  await session.release();
  return prediction!.data as Float32Array;
}

describe("the ONNX file of a model", () => {
  it.each(CASES)("predicts what TensorFlow.js predicts: %s", async (name, builder, inputShape) => {
    const model = buildModel(builder, { name, inputShape, outputSize: 4, seed: 2 });
    const { predict, initialWeights, initialState } = traceModel(model, {
      batchSize: 4,
      evaluationBatchSize: 4,
      loss: "softmaxCrossEntropy",
    });
    const file = onnxModelFile(predict, { parameters: initialWeights, state: initialState });
    const random = seededRandom(name);
    for (const batchSize of [1, 5]) {
      const shape = [batchSize, ...inputShape];
      const size = shape.reduce((product, extent) => product * extent, 1);
      const x = Float32Array.from({ length: size }, () => random.normal());
      const expected = tensorflow.tidy(() =>
        (model.predict(tensorflow.tensor(x, shape)) as tf.Tensor).dataSync(),
      );
      const got = await predictWithOnnx(file, x, shape);
      expect(got.length).toBe(expected.length);
      got.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-5));
    }
    model.dispose();
  });

  it("takes any batch, by name, where the model allows it", async () => {
    const model = buildModel(MODELS.mlp, { name: "m", inputShape: [6], outputSize: 3, seed: 2 });
    const { predict, initialWeights, initialState } = traceModel(model, {
      batchSize: 4,
      evaluationBatchSize: 4,
      loss: "softmaxCrossEntropy",
    });
    const file = onnxModelFile(predict, { parameters: initialWeights, state: initialState });
    const session = await InferenceSession.create(file);
    expect(session.inputMetadata).toMatchObject([{ name: "x", shape: ["batch", 6] }]);
    expect(session.outputMetadata).toMatchObject([{ name: "prediction", shape: ["batch", 3] }]);
    await session.release();
    model.dispose();
  });
});

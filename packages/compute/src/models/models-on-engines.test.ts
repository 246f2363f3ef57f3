import { describe, expect, it } from "vitest";
import { seededRandom, type Engine } from "@psgd/core";
import { FAST_ENGINES, REFERENCE } from "../engines/tested-engines.fixture.js";
import { traceModel, type TracedModel } from "../trace/trace-model.js";
import { buildModel } from "./build-model.js";
import type { ModelBuilder } from "./model-builder.js";
import { MODELS, type ModelName } from "./registry.js";

const BATCH = 2;
const STEPS = 3;
const LONG_RUN = 100;
/** TensorFlow.js takes a second and more for a step of this model on pictures of the usual size. */
const SMALLER: Readonly<Record<string, number>> = { "mcmahan-cnn": 8 * 8 };

/** A model with a layer of each kind that works on images, whose windows overlap and leave rests. */
const mixed: ModelBuilder = ({ layers, sequential }, { inputShape, outputSize }) =>
  sequential({
    layers: [
      layers.reshape({ inputShape: [...inputShape], targetShape: [9, 8, 2] }),
      layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: "same", activation: "elu" }),
      layers.depthwiseConv2d({ kernelSize: [2, 3], depthMultiplier: 2, padding: "same" }),
      layers.maxPooling2d({ poolSize: 3, strides: 1, padding: "same" }),
      layers.separableConv2d({ filters: 5, kernelSize: 2, activation: "sigmoid" }),
      layers.averagePooling2d({ poolSize: [2, 1], strides: 1, padding: "same" }),
      layers.flatten(),
      layers.dense({ units: outputSize }),
    ],
  });

function trace(builder: ModelBuilder, inputSize: number): TracedModel {
  const model = buildModel(builder, {
    name: "model",
    inputShape: [inputSize],
    outputSize: 10,
    seed: 3,
  });
  const options = { batchSize: BATCH, evaluationBatchSize: BATCH } as const;
  const traced = traceModel(model, { ...options, loss: "softmaxCrossEntropy" });
  model.dispose();
  return traced;
}

/** Weights and losses of some steps of plain gradient descent. */
async function train(
  engine: Engine,
  { train: plan, layout, initialWeights }: TracedModel,
  steps = STEPS,
) {
  const executable = await engine.compile(plan);
  const random = seededRandom("models on engines");
  const inputSize = plan.values[plan.inputs[0]!.value]!.shape[1]!;
  const weights = initialWeights.slice();
  const gradients = new Float32Array(layout.size);
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    // Non-negative with many zeros, as pictures are: ties between the largest of a window are common.
    const x = Float32Array.from({ length: BATCH * inputSize }, () => Math.max(0, random.normal()));
    const y = new Float32Array(BATCH * 10);
    for (let row = 0; row < BATCH; row++) y[row * 10 + ((3 * row + step) % 10)] = 1;
    losses.push(executable.run({ x, y }, weights, gradients)["loss"]![0]!);
    for (let i = 0; i < weights.length; i++) weights[i]! -= 0.05 * gradients[i]!;
  }
  executable.dispose();
  return { weights, losses };
}

const CASES: readonly [string, ModelBuilder, number][] = [
  ...(Object.keys(MODELS) as ModelName[]).map((name): [string, ModelBuilder, number] => [
    name,
    MODELS[name],
    name === "lstm-char" ? 6 : 784,
  ]),
  ["a model of all layers on images", mixed, 144],
];

describe.each(CASES)("%s", (name, builder, inputSize) => {
  const traced = trace(builder, inputSize);
  const reference = train(REFERENCE, traced);

  it.each(FAST_ENGINES)(
    `trains alike on $name: within 1e-5 after ${STEPS} steps`,
    async (engine) => {
      const expected = await reference;
      const { weights, losses } = await train(engine, traced);
      const difference = weights.reduce(
        (largest, weight, i) => Math.max(largest, Math.abs(weight - expected.weights[i]!)),
        0,
      );
      expect(difference).toBeLessThanOrEqual(1e-5);
      for (const [step, loss] of losses.entries())
        expect(loss).toBeCloseTo(expected.losses[step]!, 5);
    },
  );

  const small = trace(builder, SMALLER[name] ?? inputSize);
  const long = train(REFERENCE, small, LONG_RUN);

  it.each(FAST_ENGINES)(
    `has not drifted apart on $name: within 1e-4 after ${LONG_RUN} steps`,
    async (engine) => {
      const expected = await long;
      const { weights } = await train(engine, small, LONG_RUN);
      const difference = weights.reduce(
        (largest, weight, i) => Math.max(largest, Math.abs(weight - expected.weights[i]!)),
        0,
      );
      expect(difference).toBeLessThanOrEqual(1e-4);
    },
  );
});

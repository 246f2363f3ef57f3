import type * as tf from "@tensorflow/tfjs";
import { describe, expect, it } from "vitest";
import { seededRandom } from "@psgd/core";
import { onnxEngine } from "../engines/onnx/onnx-engine.js";
import { loadTensorFlow } from "../tensorflow.js";
import { traceTrainFunction } from "./trace-train-function.js";

const tensorflow = loadTensorFlow();
const BATCH = 8;
const STEPS = 5;

const OPTIMIZERS: Record<string, () => tf.Optimizer> = {
  sgd: () => tensorflow.train.sgd(0.1),
  momentum: () => tensorflow.train.momentum(0.1, 0.9),
  nesterov: () => tensorflow.train.momentum(0.1, 0.9, true),
  adam: () => tensorflow.train.adam(0.01),
  adamax: () => tensorflow.train.adamax(0.01),
  adagrad: () => tensorflow.train.adagrad(0.1),
  adadelta: () => tensorflow.train.adadelta(0.5),
  rmsprop: () => tensorflow.train.rmsprop(0.01),
};

const LOSSES: Record<string, { metrics: string[]; output: "softmax" | "sigmoid" | "linear" }> = {
  categoricalCrossentropy: { metrics: ["accuracy"], output: "softmax" },
  meanSquaredError: { metrics: ["mae"], output: "linear" },
  meanAbsoluteError: { metrics: ["mse"], output: "linear" },
  binaryCrossentropy: { metrics: ["binaryAccuracy"], output: "sigmoid" },
  kullbackLeiblerDivergence: { metrics: ["cosine"], output: "softmax" },
  meanSquaredLogarithmicError: { metrics: ["mape"], output: "sigmoid" },
  hinge: { metrics: ["mae"], output: "linear" },
  categoricalHinge: { metrics: ["accuracy"], output: "softmax" },
  logcosh: { metrics: ["mse"], output: "linear" },
  poisson: { metrics: ["mse"], output: "sigmoid" },
  cosineProximity: { metrics: ["mse"], output: "linear" },
};

function compiled(
  optimizer: tf.Optimizer | undefined,
  loss: string,
  { metrics, output }: { metrics: string[]; output: "softmax" | "sigmoid" | "linear" },
): tf.LayersModel {
  const { layers, initializers } = tensorflow;
  const kernel = (seed: number) => initializers.glorotUniform({ seed });
  const model = tensorflow.sequential({
    layers: [
      layers.dense({ units: 6, activation: "tanh", inputShape: [5], kernelInitializer: kernel(1) }),
      layers.batchNormalization(),
      layers.dense({ units: 3, activation: output, kernelInitializer: kernel(2) }),
    ],
  });
  if (optimizer !== undefined) model.compile({ optimizer, loss, metrics });
  return model;
}

const random = seededRandom("compiled");
const x = Float32Array.from({ length: BATCH * 5 }, () => random.normal());
const y = new Float32Array(BATCH * 3);
for (let sample = 0; sample < BATCH; sample++) y[sample * 3 + (sample % 3)] = 1;

/** Loss and metrics of each step, and the weights after the last, by the plan. */
async function byPlan(model: tf.LayersModel) {
  const { plan, initialState } = traceTrainFunction(model, { batchSize: BATCH });
  const executable = await onnxEngine().compile(plan);
  let [state, nextState] = [initialState.slice(), initialState.slice()];
  const results: number[][] = [];
  for (let step = 0; step < STEPS; step++) {
    const [xName, yName] = plan.inputs.map(({ name }) => name);
    const outputs = executable.run({ [xName!]: x, [yName!]: y }, new Float32Array(0), undefined, {
      state,
      nextState,
    });
    results.push(Object.values(outputs).map((value) => value[0]!));
    [state, nextState] = [nextState, state];
  }
  executable.dispose();
  const weights = model.weights.flatMap(({ originalName }) => {
    const { offset, size } = plan.state.layout.tensors.find(({ name }) => name === originalName)!;
    return [...state.subarray(offset, offset + size)];
  });
  return { results, weights };
}

/** The same by TensorFlow.js itself. */
async function byTensorFlow(model: tf.LayersModel) {
  const results: number[][] = [];
  for (let step = 0; step < STEPS; step++) {
    const [inputs, labels] = [
      tensorflow.tensor2d(x, [BATCH, 5]),
      tensorflow.tensor2d(y, [BATCH, 3]),
    ];
    results.push([await model.trainOnBatch(inputs, labels)].flat());
    tensorflow.dispose([inputs, labels]);
  }
  return { results, weights: model.getWeights().flatMap((weight) => [...weight.dataSync()]) };
}

function requireNear(a: readonly number[], b: readonly number[]): void {
  expect(a.length).toBe(b.length);
  a.forEach((value, index) => expect(Math.abs(value - b[index]!)).toBeLessThan(1e-5));
}

describe("a compiled model's whole step", () => {
  const cases = [
    ...Object.keys(OPTIMIZERS).map((optimizer) => ["categoricalCrossentropy", optimizer] as const),
    ...Object.keys(LOSSES).map((loss) => [loss, "momentum"] as const),
  ];
  it.each(cases)("with %s and %s is what TensorFlow.js does", async (loss, optimizer) => {
    const model = compiled(OPTIMIZERS[optimizer]!(), loss, LOSSES[loss]!);
    const plan = await byPlan(model);
    // Tracing has left model and optimizer as they were, so that TensorFlow.js starts from the same.
    const truth = await byTensorFlow(model);
    plan.results.forEach((values, step) => requireNear(values, truth.results[step]!));
    requireNear(plan.weights, truth.weights);
    model.dispose();
  });

  it("takes labels as class numbers", async () => {
    const model = compiled(OPTIMIZERS["sgd"]!(), "sparseCategoricalCrossentropy", {
      metrics: ["accuracy"],
      output: "softmax",
    });
    const { plan } = traceTrainFunction(model, { batchSize: BATCH });
    const executable = await onnxEngine().compile(plan);
    const classes = Float32Array.from({ length: BATCH }, (_, sample) => sample % 3);
    const [inputs, labels] = [
      tensorflow.tensor2d(x, [BATCH, 5]),
      tensorflow.tensor2d(classes, [BATCH, 1]),
    ];
    const [xName, yName] = plan.inputs.map(({ name }) => name);
    const state = traceTrainFunction(model, { batchSize: BATCH }).initialState;
    const outputs = executable.run(
      { [xName!]: x, [yName!]: classes },
      new Float32Array(0),
      undefined,
      { state },
    );
    const truth = [await model.trainOnBatch(inputs, labels)].flat();
    requireNear(
      Object.values(outputs).map((value) => value[0]!),
      truth,
    );
    tensorflow.dispose([inputs, labels]);
    model.dispose();
  });

  it("refuses a model that is not compiled", () => {
    const model = compiled(undefined, "", { metrics: [], output: "linear" });
    expect(() => traceTrainFunction(model, { batchSize: BATCH })).toThrow(
      /^MODEL_INVALID: model `sequential_\d+`: expected a compiled model, got one without optimizer; call model.compile first/,
    );
    model.dispose();
  });
});

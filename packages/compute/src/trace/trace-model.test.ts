import type * as tf from "@tensorflow/tfjs";
import { describe, expect, it } from "vitest";
import { seededRandom, type Engine, type Plan, type PlanArray } from "@psgd/core";
import { onnxEngine } from "../engines/onnx/onnx-engine.js";
import { tfjsEngine } from "../engines/tfjs-engine.js";
import { buildModel } from "../models/build-model.js";
import type { ModelBuilder } from "../models/model-builder.js";
import { MODELS } from "../models/registry.js";
import { loadTensorFlow } from "../tensorflow.js";
import { traceModel, type LossName, type TracedModel } from "./trace-model.js";

const tensorflow = loadTensorFlow();
const SEED = 7;
const BATCH = 6;
const INPUTS = 5;
const CLASSES = 4;

type ActivationName = NonNullable<Parameters<typeof tf.layers.activation>[0]["activation"]>;

/** A network with the layers given between its input and its output. */
function network(...hidden: ((layers: typeof tf.layers) => tf.layers.Layer)[]): ModelBuilder {
  return ({ layers, sequential }, { inputShape, outputSize }) => {
    const model = sequential();
    model.add(layers.inputLayer({ inputShape: [...inputShape] }));
    for (const layer of hidden) model.add(layer(layers));
    model.add(layers.dense({ units: outputSize }));
    return model;
  };
}

function dense(
  units: number,
  activation?: ActivationName,
  useBias = true,
): (layers: typeof tf.layers) => tf.layers.Layer {
  return (layers) =>
    layers.dense({
      units,
      useBias,
      ...(activation === undefined ? {} : { activation }),
      biasInitializer: "randomNormal",
    });
}

const NETWORKS: Readonly<Record<string, ModelBuilder>> = {
  "no hidden layer": network(),
  "no bias": network(dense(8, "tanh", false)),
  "three hidden layers": network(dense(8, "tanh"), dense(7, "relu"), dense(6, "sigmoid")),
  ...Object.fromEntries(
    (
      [
        "linear",
        "relu",
        "relu6",
        "tanh",
        "sigmoid",
        "hardSigmoid",
        "elu",
        "selu",
        "softplus",
        "softsign",
        "softmax",
        "logSoftmax",
        "swish",
        "mish",
        "gelu",
      ] as const
    ).map((activation) => [activation, network(dense(8, activation as ActivationName))]),
  ),
  leakyReLU: network(dense(8), (layers) => layers.leakyReLU({ alpha: 0.2 })),
  prelu: network(dense(8), (layers) => layers.prelu({ alphaInitializer: "ones" })),
  "softmax output": network(
    dense(8, "tanh"),
    (layers) => layers.dense({ units: CLASSES }),
    (layers) => layers.softmax(),
  ),
  "dense with softmax at the end": ({ layers, sequential }, { inputShape, outputSize }) =>
    sequential({
      layers: [
        layers.dense({ units: 8, activation: "relu", inputShape: [...inputShape] }),
        layers.dense({ units: outputSize, activation: "softmax" }),
      ],
    }),
  regularizers: ({ layers, regularizers, sequential }, { inputShape, outputSize }) =>
    sequential({
      layers: [
        layers.dense({
          units: 8,
          activation: "tanh",
          inputShape: [...inputShape],
          kernelRegularizer: regularizers.l1l2({ l1: 0.01, l2: 0.02 }),
        }),
        layers.dense({ units: outputSize }),
      ],
    }),
  "two branches": ({ input, layers, model }, { inputShape, outputSize }) => {
    const x = input({ shape: [...inputShape] });
    const left = layers.dense({ units: 4, activation: "tanh" }).apply(x) as tf.SymbolicTensor;
    const right = layers.dense({ units: 4, activation: "relu" }).apply(x) as tf.SymbolicTensor;
    const joined = layers
      .concatenate()
      .apply([
        layers.add().apply([left, right]) as tf.SymbolicTensor,
        layers.multiply().apply([left, right]) as tf.SymbolicTensor,
      ]);
    const outputs = layers.dense({ units: outputSize }).apply(joined) as tf.SymbolicTensor;
    return model({ inputs: x, outputs });
  },
  "a model within a model": ({ layers, sequential }, { inputShape, outputSize }) =>
    sequential({
      layers: [
        sequential({
          layers: [layers.dense({ units: 6, activation: "elu", inputShape: [...inputShape] })],
        }),
        layers.dense({ units: outputSize }),
      ],
    }),
};

function build(builder: ModelBuilder): tf.LayersModel {
  return buildModel(builder, {
    name: "test",
    inputShape: [INPUTS],
    outputSize: CLASSES,
    seed: SEED,
  });
}

function traced(model: tf.LayersModel, loss: LossName): TracedModel {
  return traceModel(model, { batchSize: BATCH, evaluationBatchSize: 4, loss });
}

/** A batch of normal values and one-hot rows. */
function batch(size = BATCH): { x: Float32Array; y: Float32Array } {
  const random = seededRandom(SEED).fork("batch");
  const y = new Float32Array(size * CLASSES);
  for (let row = 0; row < size; row++) y[row * CLASSES + (random.uint32() % CLASSES)] = 1;
  return { x: Float32Array.from({ length: size * INPUTS }, () => random.normal()), y };
}

/** Steps of plain SGD. */
async function sgd(
  engine: Engine,
  { train, initialWeights }: TracedModel,
  steps: number,
): Promise<{ weights: Float32Array; gradients: Float32Array; outputs: Record<string, PlanArray> }> {
  const executable = await engine.compile(train);
  const weights = initialWeights.slice();
  const gradients = new Float32Array(weights.length);
  let outputs: Record<string, PlanArray> = {};
  for (let step = 0; step < steps; step++) {
    outputs = { ...executable.run(batch(), weights, gradients) };
    weights.forEach((weight, index) => (weights[index] = weight - 0.05 * gradients[index]!));
  }
  executable.dispose();
  return { weights, gradients, outputs };
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  // NaN must not pass as a small difference.
  return Array.from(a).reduce((largest, value, index) => {
    const difference = Math.abs(value - b[index]!);
    return difference <= largest ? largest : difference;
  }, 0);
}

/** Loss and gradients by TensorFlow.js itself, executed eagerly, without plan. */
function eager(model: tf.LayersModel, loss: LossName): { loss: number; gradients: Float32Array } {
  const { x, y } = batch();
  return tensorflow.tidy(() => {
    const variables = model.trainableWeights
      .map((weight) => weight.read())
      .filter((tensor): tensor is tf.Variable => tensor instanceof tensorflow.Variable);
    const labels = tensorflow.tensor2d(y, [BATCH, CLASSES]);
    const { value, grads } = tensorflow.variableGrads(() => {
      const prediction = model.apply(tensorflow.tensor2d(x, [BATCH, INPUTS]), {
        training: true,
      }) as tf.Tensor;
      const isProbability =
        /softmax/i.test(JSON.stringify(model.layers.at(-1)!.getConfig())) ||
        model.layers.at(-1)!.getClassName() === "Softmax";
      const perSample =
        loss === "meanSquaredError"
          ? prediction.sub(labels).square().mean(-1)
          : isProbability
            ? prediction.log().mul(labels).sum(-1).neg()
            : prediction.logSoftmax().mul(labels).sum(-1).neg();
      return model
        .calculateLosses()
        .reduce<tf.Tensor>((sum, penalty) => sum.add(penalty), perSample.mean())
        .asScalar();
    }, variables);
    const gradients = variables.flatMap((variable) => [...grads[variable.name]!.dataSync()]);
    return { loss: value.dataSync()[0]!, gradients: Float32Array.from(gradients) };
  });
}

describe.each(Object.entries(NETWORKS))("a network with %s", (_, builder) => {
  it.each(["softmaxCrossEntropy", "meanSquaredError"] as const)(
    "trains with %s on onnx as on TensorFlow.js",
    async (loss) => {
      const model = build(builder);
      const plans = traced(model, loss);
      const first = await sgd(onnxEngine(), plans, 1);
      const truth = eager(model, loss);
      expect(Math.abs(first.outputs["loss"]![0]! - truth.loss)).toBeLessThan(1e-5);
      expect(largestDifference(first.gradients, truth.gradients)).toBeLessThan(1e-5);

      const onnx = await sgd(onnxEngine(), plans, 5);
      const reference = await sgd(tfjsEngine(), plans, 5);
      expect(largestDifference(onnx.weights, reference.weights)).toBeLessThan(1e-5);
      expect(Object.keys(onnx.outputs)).toEqual(Object.keys(reference.outputs));
      for (const name of Object.keys(onnx.outputs)) {
        expect(largestDifference(onnx.outputs[name]!, reference.outputs[name]!)).toBeLessThan(1e-5);
      }
      model.dispose();
    },
  );
});

describe("gradients", () => {
  it("are the finite differences of the loss, computed independently in float64", async () => {
    const model = build(network(dense(3, "tanh")));
    const plans = traced(model, "softmaxCrossEntropy");
    const { gradients, outputs } = await sgd(onnxEngine(), plans, 1);
    const { x, y } = batch();
    const weights = Float64Array.from(plans.initialWeights);
    expect(plans.layout.tensors.map(({ shape }) => shape)).toEqual([
      [INPUTS, 3],
      [3],
      [3, CLASSES],
      [CLASSES],
    ]);
    const at = (index: number): number => plans.layout.tensors[index]!.offset;
    const lossOf = (w: Float64Array): number => {
      let sum = 0;
      for (let row = 0; row < BATCH; row++) {
        const hidden = [0, 1, 2].map((unit) => {
          let z = w[at(1) + unit]!;
          for (let i = 0; i < INPUTS; i++) z += x[row * INPUTS + i]! * w[at(0) + i * 3 + unit]!;
          return Math.tanh(z);
        });
        const logits = Array.from({ length: CLASSES }, (_, c) =>
          hidden.reduce((z, h, unit) => z + h * w[at(2) + unit * CLASSES + c]!, w[at(3) + c]!),
        );
        const logSum = Math.log(logits.reduce((total, z) => total + Math.exp(z), 0));
        logits.forEach((z, c) => (sum += y[row * CLASSES + c]! * (logSum - z)));
      }
      return sum / BATCH;
    };
    expect(Math.abs(outputs["loss"]![0]! - lossOf(weights))).toBeLessThan(1e-6);
    const step = 1e-5;
    const differences = weights.map((weight, index) => {
      const [up, down] = [weights.slice(), weights.slice()];
      up[index] = weight + step;
      down[index] = weight - step;
      return (lossOf(up) - lossOf(down)) / (2 * step);
    });
    expect(largestDifference(gradients, differences)).toBeLessThan(1e-6);
    model.dispose();
  });

  it("are zero where the loss does not depend on a weight", async () => {
    const model = build(network(dense(8, "tanh")));
    const plans = traced(model, "meanSquaredError");
    const index = 1;
    const slot = plans.layout.tensors[index]!;
    const gradients = plans.train.gradients.map((id, i) => (i === index ? null : id));
    for (const engine of [onnxEngine(), tfjsEngine()]) {
      const executable = await engine.compile({ ...plans.train, gradients });
      const into = new Float32Array(plans.layout.size).fill(9);
      executable.run(batch(), plans.initialWeights, into);
      expect(new Set(into.subarray(slot.offset, slot.offset + slot.size))).toEqual(new Set([0]));
      expect([...into]).not.toContain(9);
    }
    model.dispose();
  });
});

describe("softmax cross entropy", () => {
  it.each([
    ["logits", undefined],
    ["a softmax layer", "softmax"],
  ] as const)("is finite and right for logits of 10,000, from %s", async (_, activation) => {
    const model = buildModel(
      (({ layers, sequential }) =>
        sequential({
          layers: [
            layers.dense({
              units: 3,
              inputShape: [3],
              useBias: false,
              ...(activation === undefined ? {} : { activation }),
            }),
          ],
        })) satisfies ModelBuilder,
      { name: "test", inputShape: [3], outputSize: 3, seed: 1 },
    );
    const plans = traceModel(model, {
      batchSize: 2,
      evaluationBatchSize: 2,
      loss: "softmaxCrossEntropy",
    });
    const identity = Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1);
    const x = Float32Array.of(1e4, -1e4, 0, 0, 1e4, 1e4);
    const y = Float32Array.of(0, 1, 0, 0, 0, 1);
    for (const engine of [onnxEngine(), tfjsEngine()]) {
      const gradients = new Float32Array(9);
      const executable = await engine.compile(plans.train);
      const { loss, accuracy } = executable.run({ x, y }, identity, gradients);
      // Row 1: 10,000 - (-10,000); row 2: log 2.
      expect(loss![0]).toBeCloseTo((2e4 + Math.LN2) / 2, 2);
      expect(accuracy![0]).toBe(0);
      // d loss / d logits = (p - y) / 2 with p = (1, 0, 0) and (0, 1/2, 1/2); d kernel = xᵀ of that.
      const dLogits = [
        [0.5, -0.5, 0],
        [0, 0.25, -0.25],
      ];
      const expected = [0, 1, 2].flatMap((i) =>
        [0, 1, 2].map((j) => x[i]! * dLogits[0]![j]! + x[3 + i]! * dLogits[1]![j]!),
      );
      // The logarithm of the sum is near 10,000, where float32 has steps of 0.001.
      gradients.forEach((value, i) => {
        expect(Math.abs(value - expected[i]!)).toBeLessThanOrEqual(1e-3 * Math.abs(expected[i]!));
      });
    }
    model.dispose();
  });
});

describe("evaluation", () => {
  it("adds up to the metrics of all samples, whatever the last batch lacks", async () => {
    const model = build(network(dense(8, "tanh")));
    const { evaluate, initialWeights } = traced(model, "softmaxCrossEntropy");
    expect(evaluate.gradients).toEqual([]);
    const count = 10;
    const { x, y } = batch(count);
    const executable = await onnxEngine().compile(evaluate);
    let [lossSum, correctCount] = [0, 0];
    for (let start = 0; start < count; start += 4) {
      const rows = Math.min(4, count - start);
      const part = {
        x: new Float32Array(4 * INPUTS),
        y: new Float32Array(4 * CLASSES),
        weight: new Float32Array(4),
      };
      // What fills up the batch must not count, even if it looks like a sample.
      part.x.fill(3);
      part.y.fill(1);
      part.x.set(x.subarray(start * INPUTS, (start + rows) * INPUTS));
      part.y.set(y.subarray(start * CLASSES, (start + rows) * CLASSES));
      part.weight.fill(1, 0, rows);
      const outputs = executable.run(part, initialWeights);
      lossSum += outputs["lossSum"]![0]!;
      correctCount += outputs["correctCount"]![0]!;
    }
    const logits = tensorflow.tidy(() =>
      (model.predict(tensorflow.tensor2d(x, [count, INPUTS])) as tf.Tensor).arraySync(),
    ) as number[][];
    let [expectedLoss, expectedCorrect] = [0, 0];
    logits.forEach((row, sample) => {
      const label = y.subarray(sample * CLASSES, (sample + 1) * CLASSES).indexOf(1);
      expectedLoss += Math.log(row.reduce((sum, z) => sum + Math.exp(z), 0)) - row[label]!;
      if (row.indexOf(Math.max(...row)) === label) expectedCorrect++;
    });
    expect(lossSum).toBeCloseTo(expectedLoss, 4);
    expect(correctCount).toBe(expectedCorrect);
    expect(expectedCorrect).toBeGreaterThan(0);
    model.dispose();
  });

  it("gives the sum of squared errors for regression, and no counts", async () => {
    const model = build(MODELS.linear);
    const { evaluate, layout } = traced(model, "meanSquaredError");
    const executable = await onnxEngine().compile(evaluate);
    const outputs = executable.run(
      {
        x: new Float32Array(4 * INPUTS),
        y: new Float32Array(4 * CLASSES).fill(3),
        weight: Float32Array.of(1, 1, 1, 0),
      },
      new Float32Array(layout.size),
    );
    expect({ ...outputs }).toEqual({ lossSum: Float32Array.of(27) });
    model.dispose();
  });
});

describe("accuracy", () => {
  it("is the part of the batch whose largest output is that of the label", async () => {
    const model = build(MODELS.linear);
    const { train, layout } = traced(model, "softmaxCrossEntropy");
    const weights = new Float32Array(layout.size);
    // Output i is input i.
    for (let i = 0; i < CLASSES; i++) weights[i * CLASSES + i] = 1;
    const x = new Float32Array(BATCH * INPUTS);
    const y = new Float32Array(BATCH * CLASSES);
    [0, 1, 2, 3, 0, 1].forEach((predicted, row) => {
      x[row * INPUTS + predicted] = 2;
      y[row * CLASSES + (row < 4 ? predicted : 3)] = 1;
    });
    const executable = await onnxEngine().compile(train);
    const { accuracy } = executable.run({ x, y }, weights, new Float32Array(layout.size));
    expect(accuracy![0]).toBeCloseTo(4 / 6, 6);
    model.dispose();
  });
});

describe("a traced model", () => {
  it("is the same whenever it is built from the same seed", () => {
    const plans = [0, 1].map(() => {
      const model = buildModel(MODELS.mlp, {
        name: "mlp",
        inputShape: [28, 28],
        outputSize: 10,
        seed: 3,
      });
      const result = traceModel(model, {
        batchSize: 8,
        evaluationBatchSize: 8,
        loss: "softmaxCrossEntropy",
      });
      model.dispose();
      return result;
    });
    expect(plans[0]).toEqual(plans[1]);
    expect(plans[0]!.layout.size).toBe(118_282);
  });

  it("is data that survives being cloned", () => {
    const model = build(network(dense(8, "selu")));
    const { train } = traced(model, "softmaxCrossEntropy");
    expect(structuredClone(train) satisfies Plan).toEqual(train);
    model.dispose();
  });

  it("leaks no tensors", () => {
    const model = build(network(dense(8, "softmax")));
    const before = tensorflow.memory().numTensors;
    traced(model, "softmaxCrossEntropy");
    expect(tensorflow.memory().numTensors).toBe(before);
    model.dispose();
  });
});

describe("frozen layers", () => {
  it("are state that stays, and have no gradients", () => {
    const model = build(
      network((layers) => layers.dense({ units: 3, trainable: false, name: "frozen" })),
    );
    const { train, evaluate, layout, initialState } = traced(model, "softmaxCrossEntropy");
    expect(layout.tensors.map(({ name }) => name).join()).not.toContain("frozen");
    expect(train.state.layout.tensors.map(({ name }) => name)).toEqual([
      "frozen/kernel",
      "frozen/bias",
    ]);
    expect(evaluate.state.layout).toEqual(train.state.layout);
    expect(train.state.next).toEqual([null, null]);
    const [kernel] = model.getLayer("frozen").getWeights();
    expect([...initialState.subarray(0, kernel!.size)]).toEqual([...kernel!.dataSync()]);
    model.dispose();
  });
});

describe("traceModel refuses", () => {
  const refused: [string, ModelBuilder, RegExp][] = [
    [
      "constraints",
      network((layers) => layers.dense({ units: 3, kernelConstraint: "nonNeg", name: "bound" })),
      /^MODEL_INVALID: .*one on `bound\/kernel`/,
    ],
  ];
  it.each(refused)("%s", (_, builder, message) => {
    const model = build(builder);
    expect(() => traced(model, "softmaxCrossEntropy")).toThrow(message);
    expect(tensorflow.getBackend()).toBe("cpu");
    model.dispose();
  });

  it("kernels that plans do not have, naming kernel and layer", () => {
    const model = buildModel(
      (({ layers, sequential }, { inputShape, outputSize }) =>
        sequential({
          layers: [
            layers.upSampling2d({ inputShape: [...inputShape], name: "first" }),
            layers.flatten(),
            layers.dense({ units: outputSize }),
          ],
        })) satisfies ModelBuilder,
      { name: "larger", inputShape: [6, 6, 1], outputSize: 2, seed: 1 },
    );
    expect(() =>
      traceModel(model, { batchSize: 2, evaluationBatchSize: 2, loss: "softmaxCrossEntropy" }),
    ).toThrow(/^PLAN_INVALID: kernel ResizeNearestNeighbor: .*layer `first`/);
    model.dispose();
  });

  it("batch sizes and losses that do not exist", () => {
    const model = build(MODELS.linear);
    const options = { batchSize: 2, evaluationBatchSize: 2, loss: "softmaxCrossEntropy" } as const;
    expect(() => traceModel(model, { ...options, batchSize: 0 })).toThrow(
      /^SETTINGS_INVALID: batchSize/,
    );
    expect(() => traceModel(model, { ...options, evaluationBatchSize: 1.5 })).toThrow(
      /^SETTINGS_INVALID: evaluationBatchSize/,
    );
    expect(() => traceModel(model, { ...options, loss: "hinge" as LossName })).toThrow(
      /^SETTINGS_INVALID: loss: .*got `hinge`/,
    );
    model.dispose();
  });
});

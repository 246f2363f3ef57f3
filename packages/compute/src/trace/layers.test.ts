import type * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { seededRandom, type Engine, type Executable } from "@psgd/core";
import { onnxEngine } from "../engines/onnx/onnx-engine.js";
import { FAST_ENGINES, REFERENCE } from "../engines/tested-engines.fixture.js";
import { buildModel } from "../models/build-model.js";
import type { ModelBuilder } from "../models/model-builder.js";
import { loadTensorFlow } from "../tensorflow.js";
import { traceModel, type TracedModel } from "./trace-model.js";
import { variableOf } from "./variable-of.js";

// Each layer within a small network: its plan on onnx against the plan's kernels on TensorFlow.js, against a training
// step of TensorFlow.js that was never traced, and against finite differences.

const tensorflow = loadTensorFlow();
const SEED = 11;
const BATCH = 6;
const CLASSES = 4;
const RATE = 0.1;
const STEPS = 3;

type Layers = typeof tf.layers;

interface Network {
  readonly inputShape: readonly number[];
  readonly hidden: (layers: Layers) => tf.layers.Layer[];
  /** Inputs are whole numbers below this. */
  readonly vocabulary?: number;
  /** The step draws noise, which an untraced step draws otherwise. */
  readonly isNoisy?: boolean;
  /** The loss has corners: only small differences stay between two of them. */
  readonly hasCorners?: boolean;
}

const row = [5];
const sequence = [4, 3];
const picture = [6, 6, 2];

const NETWORKS: Readonly<Record<string, Network>> = {
  ...Object.fromEntries(
    (["relu", "elu", "selu", "sigmoid", "softplus", "hardSigmoid"] as const).map((activation) => [
      `dense layers with ${activation}`,
      { inputShape: row, hidden: (l) => [l.dense({ units: 6, activation })], hasCorners: true },
    ]),
  ),
  "batch normalisation of rows": {
    inputShape: row,
    hidden: (l) => [
      l.dense({ units: 4 }),
      l.batchNormalization(),
      l.activation({ activation: "tanh" }),
    ],
  },
  "batch normalisation of images": {
    inputShape: picture,
    hidden: (l) => [l.conv2d({ filters: 3, kernelSize: 3 }), l.batchNormalization(), l.flatten()],
  },
  "layer normalisation": { inputShape: row, hidden: (l) => [l.layerNormalization()] },
  dropout: {
    inputShape: row,
    hidden: (l) => [l.dense({ units: 8 }), l.dropout({ rate: 0.4 })],
    isNoisy: true,
  },
  "gaussian noise": {
    inputShape: row,
    hidden: (l) => [l.gaussianNoise({ stddev: 0.3 })],
    isNoisy: true,
  },
  "gaussian dropout": {
    inputShape: row,
    hidden: (l) => [l.gaussianDropout({ rate: 0.3 })],
    isNoisy: true,
  },
  "alpha dropout": {
    inputShape: row,
    hidden: (l) => [l.alphaDropout({ rate: 0.3 })],
    isNoisy: true,
  },
  simpleRNN: { inputShape: sequence, hidden: (l) => [l.simpleRNN({ units: 3 })] },
  lstm: { inputShape: sequence, hidden: (l) => [l.lstm({ units: 3 })] },
  "two lstms": {
    inputShape: sequence,
    hidden: (l) => [l.lstm({ units: 3, returnSequences: true }), l.lstm({ units: 2 })],
  },
  "an lstm that goes backwards": {
    inputShape: sequence,
    hidden: (l) => [l.lstm({ units: 3, goBackwards: true })],
  },
  "a bidirectional lstm": {
    inputShape: sequence,
    hidden: (l) => [l.bidirectional({ layer: l.lstm({ units: 3 }), mergeMode: "concat" })],
  },
  "an lstm with dropout": {
    inputShape: sequence,
    hidden: (l) => [l.lstm({ units: 3, dropout: 0.2, recurrentDropout: 0.2 })],
    isNoisy: true,
  },
  gru: { inputShape: sequence, hidden: (l) => [l.gru({ units: 3 })] },
  "a long lstm, which is a loop": {
    inputShape: [33, 2],
    hidden: (l) => [l.lstm({ units: 3, returnSequences: true }), l.lstm({ units: 2 })],
  },
  "a long gru that goes backwards": {
    inputShape: [33, 2],
    hidden: (l) => [
      l.gru({ units: 3, goBackwards: true, returnSequences: true }),
      l.globalAveragePooling1d(),
    ],
  },
  "a long bidirectional simpleRNN": {
    inputShape: [33, 2],
    hidden: (l) => [l.bidirectional({ layer: l.simpleRNN({ units: 3 }), mergeMode: "concat" })],
  },
  "a long lstm with dropout": {
    inputShape: [33, 2],
    hidden: (l) => [l.lstm({ units: 2, recurrentDropout: 0.2 })],
    isNoisy: true,
  },
  embedding: {
    inputShape: [4],
    hidden: (l) => [l.embedding({ inputDim: 10, outputDim: 3 }), l.flatten()],
    vocabulary: 10,
  },
  "embedding with mask": {
    inputShape: [4],
    hidden: (l) => [
      l.embedding({ inputDim: 10, outputDim: 3, maskZero: true }),
      l.lstm({ units: 2 }),
    ],
    vocabulary: 10,
  },
  "a layer at each time": {
    inputShape: sequence,
    hidden: (l) => [l.timeDistributed({ layer: l.dense({ units: 2 }) }), l.flatten()],
  },
  conv1d: {
    inputShape: [8, 2],
    hidden: (l) => [l.conv1d({ filters: 3, kernelSize: 3 }), l.globalAveragePooling1d()],
  },
  "strided convolution": {
    inputShape: picture,
    hidden: (l) => [
      l.conv2d({ filters: 3, kernelSize: 3, strides: 2, padding: "same" }),
      l.flatten(),
    ],
  },
  "transposed convolution": {
    inputShape: [3, 3, 2],
    hidden: (l) => [l.conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2 }), l.flatten()],
  },
  "separable convolution": {
    inputShape: picture,
    hidden: (l) => [l.separableConv2d({ filters: 3, kernelSize: 3 }), l.flatten()],
  },
  "depthwise convolution": {
    inputShape: picture,
    hidden: (l) => [l.depthwiseConv2d({ kernelSize: 3 }), l.flatten()],
  },
  "max pooling": {
    inputShape: picture,
    hidden: (l) => [
      l.conv2d({ filters: 3, kernelSize: 3 }),
      l.maxPooling2d({ poolSize: 2 }),
      l.flatten(),
    ],
    hasCorners: true,
  },
  "average pooling": {
    inputShape: picture,
    hidden: (l) => [
      l.conv2d({ filters: 3, kernelSize: 3 }),
      l.averagePooling2d({ poolSize: 2 }),
      l.flatten(),
    ],
  },
  "global max pooling": {
    inputShape: picture,
    hidden: (l) => [l.conv2d({ filters: 3, kernelSize: 3 }), l.globalMaxPooling2d({})],
    hasCorners: true,
  },
  "padding and cropping": {
    inputShape: [3, 3, 2],
    hidden: (l) => [
      l.zeroPadding2d({}),
      l.conv2d({ filters: 2, kernelSize: 2 }),
      l.cropping2D({
        cropping: [
          [1, 1],
          [1, 0],
        ],
      }),
      l.flatten(),
    ],
  },
  "a convolutional lstm": {
    inputShape: [3, 5, 5, 1],
    hidden: (l) => [l.convLstm2d({ filters: 2, kernelSize: 3 }), l.flatten()],
  },
  "frozen layers": {
    inputShape: row,
    hidden: (l) => [
      l.dense({ units: 4, trainable: false }),
      l.batchNormalization({ trainable: false }),
      l.dense({ units: 3, activation: "tanh" }),
    ],
  },
};

interface Trained {
  readonly loss: number;
  readonly weights: Float32Array;
  readonly state: Float32Array;
}

describe.each(Object.entries(NETWORKS))("a network with %s", (name, network) => {
  let model: tf.LayersModel;
  let plans: TracedModel;
  beforeAll(() => {
    model = buildModel(
      (({ layers, sequential }, { inputShape, outputSize }) => {
        const built = sequential();
        built.add(layers.inputLayer({ inputShape: [...inputShape] }));
        for (const layer of network.hidden(layers)) built.add(layer);
        built.add(layers.dense({ units: outputSize }));
        return built;
      }) satisfies ModelBuilder,
      { name: "test", inputShape: network.inputShape, outputSize: CLASSES, seed: SEED },
    );
    plans = traceModel(model, {
      batchSize: BATCH,
      evaluationBatchSize: BATCH,
      loss: "softmaxCrossEntropy",
    });
  });
  afterAll(() => model.dispose());

  it("trains alike on all engines", async () => {
    const reference = await train(REFERENCE, plans, batchOf(network));
    for (const engine of FAST_ENGINES) {
      const trained = await train(engine, plans, batchOf(network));
      requireNear(trained, reference);
    }
    expect(largestDifference(reference.weights, plans.initialWeights)).toBeGreaterThan(1e-4);
  });

  it.skipIf(network.isNoisy)("trains as TensorFlow.js does by itself", async () => {
    const onnx = await train(onnxEngine(), plans, batchOf(network));
    requireNear(onnx, trainEagerly(model, network));
  });

  it("has the gradients that differences of its loss say", async () => {
    const { layout, initialWeights, initialState: state } = plans;
    const executable = await onnxEngine().compile(plans.train);
    const { x, y } = batchOf(network);
    const context = { state, noiseSeed: SEED, noiseStep: 0 };
    const gradients = new Float32Array(layout.size);
    const lossAt = (weights: Float32Array): number =>
      executable.run({ x, y }, weights, gradients, context)["loss"]![0]!;
    lossAt(initialWeights);
    const exact = gradients.slice();
    const random = seededRandom(SEED).fork(name);
    for (const { offset, size } of layout.tensors) {
      // Along one direction in each tensor: the smaller the length, the more single precision rounds off.
      const direction = Float64Array.from({ length: size }, () => random.normal());
      const norm = Math.hypot(...direction);
      const slope = direction.reduce((sum, d, i) => sum + (d / norm) * exact[offset + i]!, 0);
      const differenceAt = (length: number): number => {
        const [up, down] = [1, -1].map((sign) => {
          const weights = initialWeights.slice();
          direction.forEach((d, i) => (weights[offset + i]! += (sign * length * d) / norm));
          return lossAt(weights);
        });
        return (up! - down!) / (2 * length);
      };
      const [length, tolerance] = network.hasCorners ? [0.002, 5e-4] : [0.02, 1e-4];
      // Richardson's extrapolation of two central differences.
      const estimate = (4 * differenceAt(length) - differenceAt(2 * length)) / 3;
      expect(Math.abs(estimate - slope), `seed ${SEED}`).toBeLessThan(
        tolerance + 2e-3 * Math.abs(slope),
      );
    }
    executable.dispose();
  });
});

function batchOf({ inputShape, vocabulary }: Network): { x: Float32Array; y: Float32Array } {
  const random = seededRandom(SEED).fork("batch");
  const size = inputShape.reduce((product, extent) => product * extent, BATCH);
  const y = new Float32Array(BATCH * CLASSES);
  for (let sample = 0; sample < BATCH; sample++) y[sample * CLASSES + (sample % CLASSES)] = 1;
  const draw = (): number =>
    vocabulary === undefined ? random.normal() : random.uint32() % vocabulary;
  return { x: Float32Array.from({ length: size }, draw), y };
}

async function train(
  engine: Engine,
  { train: plan, initialWeights, initialState }: TracedModel,
  inputs: { x: Float32Array; y: Float32Array },
): Promise<Trained> {
  const executable: Executable = await engine.compile(plan);
  const weights = initialWeights.slice();
  const gradients = new Float32Array(weights.length);
  let [state, nextState] = [initialState.slice(), initialState.slice()];
  let loss = NaN;
  for (let step = 0; step < STEPS; step++) {
    const context = { state, nextState, noiseSeed: SEED, noiseStep: step };
    loss = executable.run(inputs, weights, gradients, context)["loss"]![0]!;
    weights.forEach((weight, index) => (weights[index] = weight - RATE * gradients[index]!));
    [state, nextState] = [nextState, state];
  }
  executable.dispose();
  return { loss, weights, state };
}

/** The same steps by TensorFlow.js, executed one kernel after the other; changes the model. */
function trainEagerly(model: tf.LayersModel, network: Network): Trained {
  const { x, y } = batchOf(network);
  const variablesOf = (weights: tf.LayersModel["weights"]): tf.Variable[] =>
    weights.map(variableOf);
  const flat = (variables: readonly tf.Variable[]): Float32Array =>
    Float32Array.from(variables.flatMap((variable) => [...variable.dataSync()]));
  const trained = variablesOf(model.trainableWeights);
  let loss = NaN;
  for (let step = 0; step < STEPS; step++) {
    tensorflow.tidy(() => {
      const input = tensorflow.tensor(x, [BATCH, ...network.inputShape]);
      const labels = tensorflow.tensor2d(y, [BATCH, CLASSES]);
      const { value, grads } = tensorflow.variableGrads(() => {
        const logits = model.apply(input, { training: true }) as tf.Tensor;
        return logits.logSoftmax().mul(labels).sum(-1).neg().mean().asScalar();
      }, trained);
      loss = value.dataSync()[0]!;
      for (const variable of trained) {
        variable.assign(variable.sub(grads[variable.name]!.mul(RATE)));
      }
    });
  }
  return { loss, weights: flat(trained), state: flat(variablesOf(model.nonTrainableWeights)) };
}

function requireNear(a: Trained, b: Trained): void {
  expect(Math.abs(a.loss - b.loss)).toBeLessThan(1e-5);
  expect(largestDifference(a.weights, b.weights)).toBeLessThan(1e-5);
  expect(largestDifference(a.state, b.state)).toBeLessThan(1e-5);
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  // NaN must not pass as a small difference.
  return Array.from(a).reduce((largest, value, index) => {
    const difference = Math.abs(value - b[index]!);
    return difference <= largest ? largest : difference;
  }, 0);
}

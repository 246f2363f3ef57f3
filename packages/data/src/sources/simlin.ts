import { seededRandom, type Random } from "@psgd/core";
import { createDataset } from "../create-dataset.js";
import type { Dataset, Samples } from "../dataset.js";
import type { DatasetSource } from "./source.js";

const INPUT_SIZE = 10;
const OUTPUT_SIZE = 1;
const TRAIN_COUNT = 4_096;
const TEST_COUNT = 1_024;
const NOISE_DEVIATION = 0.1;

/** What the data was made from: y = W x + b + noise. */
export interface LinearTruth {
  /** `outputSize` rows of `inputSize` values. */
  readonly weights: Float32Array;
  /** `outputSize` values. */
  readonly bias: Float32Array;
  /** Standard deviation of the noise on each output. */
  readonly noiseDeviation: number;
}

/** Simulated linear regression, after the original's `SimLin`: a model that learns must find W and b again. */
export const simlin: DatasetSource = {
  description:
    "synthetic linear regression y = Wx + b + noise from a seed: 4,096 + 1,024 rows, 10 inputs, 1 output",
  load: async ({ seed = 0 }) => generateSimlin(seed).dataset,
};

/** Inputs, weights and bias are uniform over [-1, 1). */
export function generateSimlin(seed: number | string): { dataset: Dataset; truth: LinearTruth } {
  const random = seededRandom(seed).fork("simlin");
  const truth = {
    weights: uniform(OUTPUT_SIZE * INPUT_SIZE, random.fork("weights")),
    bias: uniform(OUTPUT_SIZE, random.fork("bias")),
    noiseDeviation: NOISE_DEVIATION,
  };
  const dataset = createDataset({
    name: "simlin",
    task: "regression",
    inputShape: [INPUT_SIZE],
    outputSize: OUTPUT_SIZE,
    train: simulate(TRAIN_COUNT, truth, random.fork("train")),
    test: simulate(TEST_COUNT, truth, random.fork("test")),
    synthetic: true,
  });
  return { dataset, truth };
}

function simulate(count: number, truth: LinearTruth, random: Random): Samples {
  const inputs = uniform(count * INPUT_SIZE, random.fork("inputs"));
  const noise = random.fork("noise");
  const targets = new Float32Array(count * OUTPUT_SIZE);
  for (let row = 0; row < count; row++) {
    for (let output = 0; output < OUTPUT_SIZE; output++) {
      let sum = truth.bias[output]!;
      for (let input = 0; input < INPUT_SIZE; input++) {
        sum += truth.weights[output * INPUT_SIZE + input]! * inputs[row * INPUT_SIZE + input]!;
      }
      targets[row * OUTPUT_SIZE + output] = sum + truth.noiseDeviation * nearlyNormal(noise);
    }
  }
  return { count, inputs, targets };
}

function uniform(length: number, random: Random): Float32Array {
  return Float32Array.from({ length }, () => 2 * random.float() - 1);
}

/** Twelve uniform draws have variance 1; unlike a logarithm, their sum is the same on every machine. */
function nearlyNormal(random: Random): number {
  let sum = -6;
  for (let draw = 0; draw < 12; draw++) sum += random.float();
  return sum;
}

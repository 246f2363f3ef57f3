import { seededRandom } from "@psgd/core";
import { afterEach, describe, expect, test, vi } from "vitest";
import { BlockSampler } from "../block-sampler.js";
import type { Samples } from "../dataset.js";
import { fillBatch } from "../fill-batch.js";
import { defaultTransforms, prepareData } from "../prepare-data.js";
import { generateDigits } from "./digits.js";
import { generateMarkov } from "./markov.js";
import { generateSimlin } from "./simlin.js";

afterEach(() => void vi.restoreAllMocks());

/** Functions whose last bit may differ between machines; + - * / and the square root are exact everywhere. */
const INEXACT = ["sin", "cos", "tan", "exp", "log", "pow", "hypot", "cbrt", "atan2"] as const;

describe.each([
  ["digits", (seed: number) => generateDigits(seed, 50, 20)],
  ["simlin", (seed: number) => generateSimlin(seed).dataset],
  ["markov", (seed: number) => generateMarkov(seed, 50, 20).dataset],
])("%s", (_, generate) => {
  test("is the same from the same seed and another from another", () => {
    expect(generate(3).sha256).toBe(generate(3).sha256);
    expect(generate(4).sha256).not.toBe(generate(3).sha256);
  });

  test("uses no function that may give other bits on another machine", () => {
    for (const name of INEXACT) {
      vi.spyOn(Math, name).mockImplementation(() => {
        throw new Error(`Math.${name} was used`);
      });
    }
    expect(generate(3).synthetic).toBe(true);
  });

  test("has no row in both parts", () => {
    const { train, test: testSamples, inputShape } = generate(3);
    const size = inputShape.reduce((product, extent) => product * extent, 1);
    const rows = ({ count, inputs }: Samples): string[] =>
      Array.from({ length: count }, (_unused, row) =>
        inputs.subarray(row * size, (row + 1) * size).join(),
      );
    const seen = new Set(rows(train));
    expect(seen.size).toBe(train.count);
    expect(rows(testSamples).some((row) => seen.has(row))).toBe(false);
  });
});

describe("digits", () => {
  test("has the form of MNIST: 12,000 + 2,000 balanced images, dark ground, bright strokes", () => {
    const { train, test: testSamples, inputShape, outputSize } = generateDigits(0);
    expect([train.count, testSamples.count]).toEqual([12_000, 2_000]);
    expect([inputShape, outputSize]).toEqual([[28, 28], 10]);
    const counts = new Array<number>(10).fill(0);
    for (const label of train.targets) counts[label]!++;
    // 1200 each with a standard deviation of 33: six of them.
    for (const count of counts) expect(Math.abs(count - 1200)).toBeLessThan(200);
    const inputs = train.inputs as Uint8Array;
    const bright = inputs.reduce((total, pixel) => total + (pixel > 128 ? 1 : 0), 0);
    expect(bright / inputs.length).toBeGreaterThan(0.04);
    expect(bright / inputs.length).toBeLessThan(0.25);
  });

  test("can be learnt by a small network, but not by comparing with mean images", () => {
    const seed = "learn";
    const dataset = generateDigits(seed);
    const size = { batchSize: 16, blockCount: 1 };
    const data = prepareData(dataset, [{ name: "shuffle" }, { name: "image_cls" }], {
      seed,
      ...size,
    });
    const sampler = new BlockSampler(data.train, size);
    const network = new Network(784, 32, 10, seed);
    const x = new Float32Array(16 * 784);
    const y = new Float32Array(16 * 10);
    for (let step = 0; step < 3 * sampler.stepsPerEpoch; step++) {
      fillBatch(data.train, sampler.rows({ step, blockId: 0 }), { x, y });
      for (let row = 0; row < 16; row++) {
        const learningRate = step < 2 * sampler.stepsPerEpoch ? 0.01 : 0.003;
        network.learn(x.subarray(row * 784, (row + 1) * 784), y.subarray(row * 10), learningRate);
      }
    }
    const count = dataset.test.count;
    const testX = new Float32Array(count * 784);
    fillBatch(data.test, data.test.order(0), { x: testX, y: new Float32Array(count * 10) });
    const accuracy = share(dataset.test, (row) =>
      network.classify(testX.subarray(row * 784, (row + 1) * 784)),
    );
    expect(accuracy, `seed ${seed}`).toBeGreaterThan(0.9);
    expect(accuracy, `seed ${seed}`).toBeLessThan(0.99);
    const simple = share(dataset.test, nearestMean(dataset.train, dataset.test));
    expect(simple, `seed ${seed}`).toBeGreaterThan(0.4);
    expect(simple, `seed ${seed}`).toBeLessThan(accuracy - 0.1);
  });
});

describe("simlin", () => {
  test("gives W, b and the noise back by least squares", () => {
    for (const seed of [0, 1, "any"]) {
      const { dataset, truth } = generateSimlin(seed);
      const { inputs, targets, count } = dataset.train;
      const design = Array.from({ length: count }, (_, row) => [
        ...inputs.subarray(row * 10, (row + 1) * 10),
        1,
      ]);
      const solution = leastSquares(design, [...targets]);
      // The standard error is 0.1 / sqrt(4096 / 3) = 0.0027 for a weight and less for the bias; five of them.
      [...truth.weights, ...truth.bias].forEach((value, at) => {
        expect(Math.abs(solution[at]! - value), `seed ${seed}, value ${at}`).toBeLessThan(0.0135);
      });
      const residuals = design.map(
        (row, at) => targets[at]! - row.reduce((sum, v, i) => sum + v * solution[i]!, 0),
      );
      const deviation = Math.sqrt(
        residuals.reduce((sum, value) => sum + value * value, 0) / (count - 11),
      );
      expect(Math.abs(deviation - truth.noiseDeviation)).toBeLessThan(0.006);
    }
  });
});

/** Solves the normal equations by Gaussian elimination. */
function leastSquares(design: readonly number[][], targets: readonly number[]): number[] {
  const size = design[0]!.length;
  const matrix = Array.from({ length: size }, () => new Array<number>(size + 1).fill(0));
  design.forEach((row, at) => {
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) matrix[i]![j]! += row[i]! * row[j]!;
      matrix[i]![size]! += row[i]! * targets[at]!;
    }
  });
  for (let pivot = 0; pivot < size; pivot++) {
    for (let i = 0; i < size; i++) {
      if (i === pivot) continue;
      const factor = matrix[i]![pivot]! / matrix[pivot]![pivot]!;
      for (let j = pivot; j <= size; j++) matrix[i]![j]! -= factor * matrix[pivot]![j]!;
    }
  }
  return matrix.map((row, i) => row[size]! / row[i]!);
}

/** Share of the rows that are given their label. */
function share({ count, targets }: Samples, classify: (row: number) => number): number {
  let right = 0;
  for (let row = 0; row < count; row++) if (classify(row) === targets[row]) right++;
  return right / count;
}

/** Gives a test image the label whose mean training image is nearest. */
function nearestMean(train: Samples, testSamples: Samples): (row: number) => number {
  const means = Array.from({ length: 10 }, () => new Float64Array(784));
  const counts = new Array<number>(10).fill(0);
  for (let row = 0; row < train.count; row++) {
    const label = train.targets[row]!;
    counts[label]!++;
    for (let i = 0; i < 784; i++) means[label]![i]! += train.inputs[row * 784 + i]!;
  }
  means.forEach((mean, label) => mean.forEach((sum, i) => (mean[i] = sum / counts[label]!)));
  return (row) => {
    const distances = means.map((mean) =>
      mean.reduce((sum, value, i) => sum + (testSamples.inputs[row * 784 + i]! - value) ** 2, 0),
    );
    return distances.indexOf(Math.min(...distances));
  };
}

/** One hidden layer of ReLU, softmax and cross-entropy, plain gradient descent. */
class Network {
  readonly #hidden: Float32Array;
  readonly #output: Float32Array;
  readonly #w1: Float32Array;
  readonly #b1: Float32Array;
  readonly #w2: Float32Array;
  readonly #b2: Float32Array;

  constructor(inputs: number, hidden: number, outputs: number, seed: string) {
    const random = seededRandom(seed);
    const glorot = (from: number, to: number): Float32Array => {
      const limit = Math.sqrt(6 / (from + to));
      return Float32Array.from({ length: from * to }, () => limit * (2 * random.float() - 1));
    };
    this.#w1 = glorot(inputs, hidden);
    this.#b1 = new Float32Array(hidden);
    this.#w2 = glorot(hidden, outputs);
    this.#b2 = new Float32Array(outputs);
    this.#hidden = new Float32Array(hidden);
    this.#output = new Float32Array(outputs);
  }

  classify(x: Float32Array): number {
    this.#forward(x);
    return this.#output.indexOf(Math.max(...this.#output));
  }

  learn(x: Float32Array, y: Float32Array, learningRate: number): void {
    this.#forward(x);
    const [hidden, output, w1, w2] = [this.#hidden, this.#output, this.#w1, this.#w2];
    const back = new Float32Array(hidden.length);
    for (let k = 0; k < output.length; k++) {
      const gradient = (output[k]! - y[k]!) * learningRate;
      this.#b2[k]! -= gradient;
      for (let j = 0; j < hidden.length; j++) {
        const weight = k * hidden.length + j;
        back[j]! += gradient * w2[weight]!;
        w2[weight]! -= gradient * hidden[j]!;
      }
    }
    for (let j = 0; j < hidden.length; j++) {
      if (hidden[j] === 0) continue;
      this.#b1[j]! -= back[j]!;
      for (let i = 0; i < x.length; i++) w1[j * x.length + i]! -= back[j]! * x[i]!;
    }
  }

  #forward(x: Float32Array): void {
    const [hidden, output, w1, w2] = [this.#hidden, this.#output, this.#w1, this.#w2];
    for (let j = 0; j < hidden.length; j++) {
      let sum = this.#b1[j]!;
      for (let i = 0; i < x.length; i++) sum += w1[j * x.length + i]! * x[i]!;
      hidden[j] = Math.max(0, sum);
    }
    let total = 0;
    for (let k = 0; k < output.length; k++) {
      let sum = this.#b2[k]!;
      for (let j = 0; j < hidden.length; j++) sum += w2[k * hidden.length + j]! * hidden[j]!;
      output[k] = Math.exp(sum);
      total += output[k]!;
    }
    for (let k = 0; k < output.length; k++) output[k]! /= total;
  }
}

describe("the text of the Markov chain", () => {
  const { dataset, truth } = generateMarkov(5);
  const { inputs, targets, count } = dataset.test;
  const length = dataset.inputShape[0]!;

  test("follows the chain, with the likeliest letter half of the time", () => {
    const ranks = [0, 0, 0];
    for (let row = 0; row < count; row++) {
      const [before, last] = inputs.subarray((row + 1) * length - 2, (row + 1) * length);
      const rank = truth.followers[27 * before! + last!]!.indexOf(targets[row]!);
      expect(rank).toBeGreaterThanOrEqual(0);
      ranks[rank]!++;
    }
    // Five standard deviations of a binomial count.
    const limit = 5 * Math.sqrt(0.25 * count);
    expect(Math.abs(ranks[0]! - count / 2)).toBeLessThan(limit);
    expect(Math.abs(ranks[1]! - count / 4)).toBeLessThan(limit);
  });

  test("comes to a model as numbers, with one-hot labels", () => {
    const { train } = prepareData(dataset, defaultTransforms(dataset), {
      seed: 1,
      blockCount: 1,
      batchSize: 2,
    });
    const [x, y] = [new Float32Array(2 * length), new Float32Array(2 * 27)];
    fillBatch(train, Uint32Array.of(0, 1), { x, y });
    expect(x).toEqual(dataset.train.inputs.slice(0, 2 * length));
    expect(y[dataset.train.targets[0]!]).toBe(1);
    expect(y.reduce((sum, value) => sum + value, 0)).toBe(2);
  });
});

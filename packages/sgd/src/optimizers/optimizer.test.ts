import { ASSIGNMENTS, isPsgdError, seededRandom } from "@psgd/core";
import { describe, expect, it } from "vitest";
import { GRADIENT_DESCENTS, type GradientDescentName } from "../gradient-descent/registry.js";
import { Optimizer } from "./optimizer.js";
import { OPTIMIZERS, type OptimizerName } from "./registry.js";

const f32 = (...values: number[]): Float32Array => Float32Array.from(values);

function optimizer(
  name: OptimizerName,
  initialWeights: Float32Array,
  { descent = "sgd", rate = 0.5 }: { descent?: GradientDescentName; rate?: number } = {},
): Optimizer {
  return new Optimizer({
    rule: OPTIMIZERS[name],
    createDescent: () => GRADIENT_DESCENTS[descent].create(initialWeights.length, rate),
    initialWeights,
  });
}

describe("optimizer", () => {
  it("parallel_sgd sends the scaled gradient and subtracts the result", () => {
    const weights = f32(1, 2);
    const subject = optimizer("parallel_sgd", weights);
    const gradient = f32(4, -2);
    subject.content(gradient, weights, 0);
    expect([...gradient]).toEqual([2, -1]);
    subject.apply(f32(0.25, 1), weights);
    expect([...weights]).toEqual([0.75, 1]);
  });

  it("gradient_averaging adds the result to the weights the job started with", () => {
    const weights = f32(1, 2);
    const subject = optimizer("gradient_averaging", weights);
    const gradient = f32(4, -2);
    subject.content(gradient, weights, 0);
    expect([...gradient]).toEqual([2, -1]);
    subject.apply(f32(-1, -1), weights);
    subject.apply(f32(10, -3), weights);
    expect([...weights]).toEqual([11, -1]);
  });

  it("parameter_averaging sends the new weights and takes over the result", () => {
    const weights = f32(1, 2);
    const subject = optimizer("parameter_averaging", weights);
    const gradient = f32(4, -2);
    subject.content(gradient, weights, 0);
    expect([...gradient]).toEqual([-1, 3]);
    expect([...weights]).toEqual([1, 2]);
    const result = f32(7, 8);
    subject.apply(result, weights);
    result.fill(0);
    expect([...weights]).toEqual([7, 8]);
  });

  it("double_buffering, run as its rule says, follows w(t+1) = w(t) - lr g(w(t-1))", () => {
    const weights = f32(1);
    const subject = optimizer("double_buffering", weights, { rate: 0.25 });
    expect(subject.rule.resultDelay).toBe(1);
    let pending: Float32Array | undefined;
    const seen: number[] = [];
    for (let step = 0; step < 6; step++) {
      const gradient = weights.slice(); // of the loss w² / 2
      if (pending !== undefined) subject.apply(pending, weights);
      seen.push(weights[0]!);
      subject.content(gradient, weights, 0);
      pending = gradient;
    }
    subject.apply(pending!, weights);
    seen.push(weights[0]!);
    // w(t+1) = w(t) − w(t−1) / 4 has the double root ½; with w(0) = 1, w(1) = ¾ it is (2 + t) / 2^(t+1), exact in binary.
    expect(seen).toEqual(seen.map((_, t) => (2 + t) / 2 ** (t + 1)));
  });

  it("gives every holder of a block the same content, whatever else the holder computes", () => {
    const { blockCount, nodeCount, nodeToBlocks } = ASSIGNMENTS.iid({
      nodeCount: 4,
      redundancy: 2,
    });
    const weights = new Float32Array(5);
    const nodes = Array.from({ length: nodeCount }, () =>
      optimizer("parallel_sgd", weights, { descent: "adam" }),
    );
    const random = seededRandom("shared blocks");
    for (let step = 0; step < 20; step++) {
      const gradients = Array.from({ length: blockCount }, () =>
        Float32Array.from(weights, () => random.normal()),
      );
      const contents = new Map<number, string>();
      for (const [node, blocks] of nodeToBlocks.entries()) {
        // Not every node works through its blocks in the same order.
        for (const block of node % 2 === 0 ? blocks : [...blocks].reverse()) {
          const content = gradients[block]!.slice();
          nodes[node]!.content(content, weights, block);
          expect([...content].join(), `step ${step}, node ${node}, block ${block}`).toBe(
            contents.get(block) ?? [...content].join(),
          );
          contents.set(block, [...content].join());
        }
      }
    }
  });

  it("advances gradient descent once per step, however many blocks a node has", () => {
    const weights = new Float32Array(1);
    const subject = optimizer("parallel_sgd", weights, { descent: "gradient_decay", rate: 1 });
    expect(subject.learningRate).toBe(1);
    for (let step = 1; step <= 4; step++) {
      for (const block of [0, 1, 2]) {
        const gradient = f32(1);
        subject.content(gradient, weights, block);
        expect(gradient[0]).toBe(Math.fround(1 / Math.sqrt(step)));
      }
      expect(subject.learningRate).toBe(1 / Math.sqrt(step));
    }
  });

  it("goes on from a saved state bit for bit", () => {
    const random = seededRandom("resume");
    const gradients = Array.from({ length: 20 }, () => f32(random.normal(), random.normal()));
    const weights = f32(3, 4);
    const original = optimizer("gradient_averaging", weights, { descent: "adam" });
    const run = (subject: Optimizer, from: number): number[][] =>
      gradients.slice(from, from + 10).map((gradient, step) => {
        const content = gradient.slice();
        subject.content(content, weights, step % 2);
        return [...content];
      });
    run(original, 0);
    const state = structuredClone(original.exportState());
    const resumed = optimizer("gradient_averaging", f32(0, 0), { descent: "adam" });
    resumed.importState(state);
    expect(run(resumed, 10)).toEqual(run(original, 10));
    const moved = new Float32Array(2);
    resumed.apply(f32(1, 1), moved);
    expect([...moved]).toEqual([4, 5]);
  });

  it("refuses vectors and states of another model", () => {
    const weights = f32(1, 2);
    const subject = optimizer("parallel_sgd", weights, { descent: "adam" });
    const attempts = [
      () => subject.content(f32(1), weights, 3),
      () => subject.apply(f32(1, 2, 3), weights),
      () => subject.importState(undefined),
      () => subject.importState(optimizer("parallel_sgd", f32(1)).exportState()),
    ];
    for (const attempt of attempts) {
      let thrown: unknown;
      try {
        attempt();
      } catch (error) {
        thrown = error;
      }
      expect(isPsgdError(thrown, "SHAPE_MISMATCH"), String(attempt)).toBe(true);
    }
  });
});

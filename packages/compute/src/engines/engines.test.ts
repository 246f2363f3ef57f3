import { describe, expect, it } from "vitest";
import { isPsgdError, seededRandom, type Executable, type Plan } from "@psgd/core";
import { buildModel } from "../models/build-model.js";
import { MODELS } from "../models/registry.js";
import { traceModel } from "../trace/trace-model.js";
import { onnxEngine } from "./onnx/onnx-engine.js";
import { FAST_ENGINES, REFERENCE } from "./tested-engines.fixture.js";

const BATCH = 8;
const model = buildModel(MODELS.mlp, { name: "mlp", inputShape: [20], outputSize: 3, seed: 5 });
const traced = traceModel(model, {
  batchSize: BATCH,
  evaluationBatchSize: BATCH,
  loss: "softmaxCrossEntropy",
});
const random = seededRandom("engines");
const x = Float32Array.from({ length: BATCH * 20 }, () => random.normal());
const y = new Float32Array(BATCH * 3);
for (let row = 0; row < BATCH; row++) y[row * 3 + (row % 3)] = 1;
const { layout, initialWeights: weights } = traced;

/** Weights after some steps, each with gradient memory of its own. */
function train(executable: Executable, steps: number): Float32Array {
  const current = weights.slice();
  for (let step = 0; step < steps; step++) {
    const gradients = new Float32Array(layout.size);
    executable.run({ x, y }, current, gradients);
    for (let i = 0; i < current.length; i++) current[i] = current[i]! - 0.1 * gradients[i]!;
  }
  return current;
}

describe.each([...FAST_ENGINES, REFERENCE])("the $name engine", (engine) => {
  it("repeats bit for bit, in one executable and in another", async () => {
    const first = await engine.compile(traced.train);
    const second = await engine.compile(traced.train);
    const bits = new Uint8Array(train(first, 3).buffer);
    expect(new Uint8Array(train(first, 3).buffer)).toEqual(bits);
    expect(new Uint8Array(train(second, 3).buffer)).toEqual(bits);
  });

  it("writes all gradients and leaves inputs and parameters alone", async () => {
    const executable = await engine.compile(traced.train);
    const copies = [x.slice(), y.slice(), weights.slice()];
    const gradients = new Float32Array(layout.size).fill(NaN);
    executable.run({ x, y }, weights, gradients);
    expect(gradients.every(Number.isFinite)).toBe(true);
    expect([x, y, weights]).toEqual(copies);
  });

  it("works on parts of larger memory, at any offset", async () => {
    const executable = await engine.compile(traced.train);
    const expected = new Float32Array(layout.size);
    executable.run({ x, y }, weights, expected);
    const memory = new Float32Array(2 * layout.size + 6).fill(7);
    const parameters = memory.subarray(1, 1 + layout.size);
    parameters.set(weights);
    const gradients = memory.subarray(layout.size + 4, 2 * layout.size + 4);
    executable.run({ x, y }, parameters, gradients);
    expect(gradients).toEqual(expected);
    expect(memory[0]).toBe(7);
    expect([...memory.subarray(layout.size + 1, layout.size + 4)]).toEqual([7, 7, 7]);
    expect([...memory.subarray(2 * layout.size + 4)]).toEqual([7, 7]);
  });

  it("sees parameters and inputs that changed in place", async () => {
    const executable = await engine.compile(traced.train);
    const parameters = weights.slice();
    const gradients = new Float32Array(layout.size);
    const before = executable.run({ x, y }, parameters, gradients)["loss"]![0]!;
    parameters.fill(0);
    const { loss } = executable.run({ x, y }, parameters, gradients);
    expect(loss![0]).toBeCloseTo(Math.log(3), 5);
    expect(before).not.toBeCloseTo(Math.log(3), 2);
  });

  it("goes on after a refused run", async () => {
    const executable = await engine.compile(traced.train);
    const gradients = new Float32Array(layout.size);
    expect(() => executable.run({ x }, weights, gradients)).toThrow();
    expect(executable.run({ x, y }, weights, gradients)["loss"]![0]).toBeGreaterThan(0);
  });

  const gradients = new Float32Array(layout.size);
  const shared = new Float32Array(new SharedArrayBuffer(4 * layout.size));
  const refused: [string, (executable: Executable) => unknown, RegExp][] = [
    [
      "a missing input",
      (e) => e.run({ x }, weights, gradients),
      /input `y`: expected a Float32Array of 24, got nothing/,
    ],
    [
      "an input too short",
      (e) => e.run({ x: x.subarray(1), y }, weights, gradients),
      /input `x`: expected a Float32Array of 160, got Float32Array of 159/,
    ],
    [
      "an input of another type",
      (e) => e.run({ x, y: new Int32Array(24) }, weights, gradients),
      /input `y`: .*got Int32Array of 24/,
    ],
    [
      "an unknown input",
      (e) => e.run({ x, y, z: y }, weights, gradients),
      /inputs: expected x, y, got also z/,
    ],
    [
      "too few parameters",
      (e) => e.run({ x, y }, weights.subarray(1), gradients),
      /parameters: expected a Float32Array/,
    ],
    [
      "no gradients",
      (e) => e.run({ x, y }, weights),
      /gradients: expected a Float32Array .*got nothing/,
    ],
    [
      "gradients too long",
      (e) => e.run({ x, y }, weights, new Float32Array(layout.size + 1)),
      /gradients: expected/,
    ],
    [
      "gradients in the memory of the parameters",
      (e) => e.run({ x, y }, gradients, gradients),
      /gradients: expected memory of their own, got that of parameters/,
    ],
    [
      "shared memory",
      (e) => e.run({ x, y }, shared, gradients),
      /parameters: expected unshared memory/,
    ],
  ];
  it.each(refused)("refuses %s", async (_, run, message) => {
    const executable = await engine.compile(traced.train);
    expect(() => run(executable)).toThrow(message);
    try {
      run(executable);
    } catch (error) {
      expect(isPsgdError(error, "SHAPE_MISMATCH")).toBe(true);
    }
  });

  it("needs no gradients for a plan without", async () => {
    const executable = await engine.compile(traced.evaluate);
    const weight = new Float32Array(BATCH).fill(1);
    expect(executable.run({ x, y, weight }, weights)["lossSum"]![0]).toBeGreaterThan(0);
  });

  it("can be disposed twice, and refuses to run then", async () => {
    const executable = await engine.compile(traced.train);
    executable.dispose();
    executable.dispose();
    expect(() => executable.run({ x, y }, weights, new Float32Array(layout.size))).toThrow(
      /^PLAN_INVALID: .*disposed/,
    );
  });

  it("refuses a malformed plan", async () => {
    const plan: Plan = { ...traced.train, nodes: traced.train.nodes.slice(1) };
    await expect(engine.compile(plan)).rejects.toThrow(/^PLAN_INVALID: /);
  });
});

describe("onnxEngine", () => {
  it("agrees with itself on two threads, up to rounding", async () => {
    const [one, two] = await Promise.all(
      [1, 2].map((threads) => onnxEngine({ threads }).compile(traced.train)),
    );
    const [a, b] = [train(one!, 3), train(two!, 3)];
    a.forEach((value, index) => expect(Math.abs(value - b[index]!)).toBeLessThan(1e-6));
  });

  it.each([0, 1.5, NaN])("refuses %d threads", (threads) => {
    expect(() => onnxEngine({ threads })).toThrow(/^SETTINGS_INVALID: threads/);
  });
});

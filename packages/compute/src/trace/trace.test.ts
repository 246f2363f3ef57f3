import type * as tf from "@tensorflow/tfjs";
import { describe, expect, it } from "vitest";
import { onnxEngine } from "../engines/onnx/onnx-engine.js";
import { loadTensorFlow } from "../tensorflow.js";
import type { TraceRequest } from "./trace-request.js";
import { trace } from "./trace.js";

const tensorflow = loadTensorFlow();

/** Traces a function of `x` [2, 3]. */
function traceOf(
  f: (x: tf.Tensor) => tf.Tensor,
  extra: Partial<TraceRequest> = {},
): ReturnType<typeof trace> {
  return trace({
    name: "test",
    inputs: [{ name: "x", shape: [2, 3], dtype: "float32" }],
    parameters: [],
    step: ({ x }) => ({ outputs: { result: f(x!) }, gradients: [] }),
    ...extra,
  });
}

describe("trace", () => {
  it("records kernels in order and leaves out what no output needs", () => {
    const plan = traceOf((x) => {
      x.exp().sum();
      return x.tanh().mul(x);
    });
    expect(plan.nodes.map(({ kernel }) => kernel)).toEqual(["Tanh", "Multiply"]);
    expect(plan.outputs).toEqual([{ name: "result", value: 2 }]);
  });

  it("keeps an input that is not used", async () => {
    const plan = traceOf(() => tensorflow.tensor([1, 2]).neg());
    const executable = await onnxEngine().compile(plan);
    const { result } = executable.run({ x: new Float32Array(6) }, new Float32Array(0));
    expect([...result!]).toEqual([-1, -2]);
  });

  it("makes no nodes of copies, casts to the same type and reshapes to the same shape", () => {
    const plan = traceOf((x) => x.clone().cast("float32").reshape([2, 3]).neg());
    expect(plan.nodes.map(({ kernel }) => kernel)).toEqual(["Neg"]);
  });

  it("turns captured tensors into constants, equal ones into one", async () => {
    const captured = tensorflow.tensor([1, 2, 3]);
    const plan = traceOf((x) => x.mul(captured).add(tensorflow.tensor([1, 2, 3])));
    expect(plan.constants.map(({ data }) => [...data])).toEqual([[1, 2, 3]]);
    captured.dispose();
    const executable = await onnxEngine().compile(plan);
    const { result } = executable.run(
      { x: Float32Array.of(0, 1, 2, 3, 4, 5) },
      new Float32Array(0),
    );
    expect([...result!]).toEqual([1, 4, 9, 4, 10, 18]);
  });

  it("keeps captured tensors apart that share memory in another shape", () => {
    const row = tensorflow.tensor([1, 2, 3, 4, 5, 6]);
    const table = row.reshape([2, 3]);
    const plan = traceOf((x) => x.mul(table).sum().mul(row));
    expect(plan.constants.map(({ value }) => plan.values[value]!.shape)).toEqual([[2, 3], [6]]);
    tensorflow.dispose([row, table]);
  });

  it("sends a tensor of equal values as a Fill, whatever its size", () => {
    const plan = traceOf((x) => tensorflow.ones([300, 200]).mul(x.sum()));
    expect(plan.constants).toEqual([]);
    expect(plan.nodes.map(({ kernel }) => kernel)).toContain("Fill");
  });

  it.each([
    ["dataSync", (x: tf.Tensor) => x.mul(x.sum().dataSync()[0]!)],
    [
      "a JavaScript condition",
      (x: tf.Tensor) => ((x.sum().arraySync() as number) > 0 ? x : x.neg()),
    ],
  ])("refuses a step that reads values: %s", (_, f) => {
    expect(() => traceOf(f)).toThrow(/^PLAN_INVALID: traced value: .*read from JavaScript/);
  });

  it("names the kernel that plans do not have", () => {
    expect(() => traceOf((x) => tensorflow.topk(x, 1).values)).toThrow(
      /^PLAN_INVALID: kernel TopK: expected a kernel that plans have.*step `test`/,
    );
  });

  it.each([
    ["uniform", () => tensorflow.randomUniform([2, 3]), 0, 1],
    ["uniform", () => tensorflow.randomUniform([2, 3], -1, 3), -1, 4],
    ["normal", () => tensorflow.randomNormal([2, 3]), 0, 1],
    ["normal", () => tensorflow.randomNormal([2, 3], 2, 0.1), 2, 0.1],
    ["truncatedNormal", () => tensorflow.truncatedNormal([40], 1, 3), 1, 3],
    ["uniform", () => tensorflow.randomUniform([1]), 0, 1],
  ] as const)("turns random numbers into noise: %s", (distribution, random, offset, scale) => {
    const { noise, constants } = traceOf((x) => x.sum().add(random()));
    expect(noise).toEqual([{ value: expect.any(Number) as number, distribution, offset, scale }]);
    expect(constants).toEqual([]);
  });

  it.each([
    ["randomUniform", () => tensorflow.randomUniform([2, 3], 0, 1, "float32", 5)],
    ["randomUniform", () => tensorflow.randomUniform([1], 3, 9)],
    ["randomNormal", () => tensorflow.randomNormal([2, 3], 0, 1, "float32", 5)],
    ["randomGamma", () => tensorflow.randomGamma([2, 3], 2)],
  ])("refuses random numbers that it could not draw again: %s", (name, random) => {
    expect(() => traceOf((x) => x.sum().add(random()))).toThrow(
      new RegExp(`^PLAN_INVALID: operation ${name}: expected random numbers of .*, got others`),
    );
  });

  const counter = { value: 0 };
  it.each([
    ["a counter", () => ++counter.value],
    ["Math.random", () => Math.random()],
    ["the time", () => Date.now() / 1e12],
    ["the date", () => new Date().getTime() / 1e12],
  ])("finds a number that is baked in: %s", (_, number) => {
    expect(() => traceOf((x) => x.mul(number()))).toThrow(
      /^PLAN_INVALID: step `test`: expected the same plan from two traces, got `value` of kernel Fill that was|got a constant that was/,
    );
    expect(Math.random()).not.toBe(Math.random());
    expect(new Date().getFullYear()).toBeLessThan(3000);
  });

  it("comes to an end where a step draws until it likes what it gets", () => {
    const draw = (isFine: (number: number) => boolean): number => {
      for (;;) {
        const number = Math.random();
        if (isFine(number)) return number;
      }
    };
    expect(() => traceOf((x) => x.mul(draw((number) => number > 0.9)))).toThrow(/^PLAN_INVALID/);
    expect(() => traceOf((x) => x.mul(draw((number) => number < 0.01)))).toThrow(/^PLAN_INVALID/);
  });

  it("tells several random operations apart", () => {
    const { noise } = traceOf((x) =>
      x.add(tensorflow.randomUniform([2, 3], 5, 7)).add(tensorflow.randomNormal([2, 3], 1, 2)),
    );
    expect(noise.map(({ distribution, offset, scale }) => [distribution, offset, scale])).toEqual([
      ["uniform", 5, 2],
      ["normal", 1, 2],
    ]);
  });

  it("says which line reads a value", () => {
    expect(() => traceOf((x) => x.mul(x.sum().dataSync()[0]!))).toThrow(
      /read from JavaScript at .*trace\.test\.ts:\d+:\d+; step `test`/,
    );
  });

  it("refuses to bake the value of a variable that is not a parameter", () => {
    const scale = tensorflow.variable(tensorflow.scalar(2), true, "trace-test-scale");
    expect(() => traceOf((x) => x.mul(scale))).toThrow(
      /^PLAN_INVALID: variable `trace-test-scale`/,
    );
    scale.dispose();
  });

  it("undoes assignments and creations of variables, and refuses them", () => {
    const counter = tensorflow.variable(tensorflow.scalar(5), false, "trace-test-counter");
    const before = tensorflow.memory().numTensors;
    expect(() =>
      traceOf((x) => {
        counter.assign(tensorflow.scalar(7));
        return x;
      }),
    ).toThrow(
      /variable `trace-test-counter`: expected a step that assigns only the state of its plan/,
    );
    expect(counter.dataSync()[0]).toBe(5);
    expect(() =>
      traceOf((x) => {
        tensorflow.variable(tensorflow.scalar(1), true, "trace-test-new");
        return x;
      }),
    ).toThrow(/variable `trace-test-new`/);
    expect(tensorflow.memory().numTensors).toBe(before);
    counter.dispose();
  });

  it("restores backend, kernels, tape and scopes, also when the step throws", () => {
    const { state } = tensorflow.engine();
    const before = { tensors: tensorflow.memory().numTensors, scopes: state.scopeStack.length };
    const failing = (x: tf.Tensor): tf.Tensor => {
      tensorflow.variableGrads(() => {
        x.neg();
        throw new Error("in the step");
      });
      return x;
    };
    const initial = tensorflow.scalar(1);
    const w = tensorflow.variable(initial);
    expect(() => traceOf(failing)).toThrow("in the step");
    traceOf((x) => x.neg());
    tensorflow.dispose([w, initial]);
    expect(tensorflow.getBackend()).toBe("cpu");
    expect(tensorflow.engine().backendNames()).not.toContain("plan");
    expect(tensorflow.getKernelsForBackend("plan")).toEqual([]);
    expect(state.gradientDepth).toBe(0);
    expect(state.kernelDepth).toBe(0);
    expect(state.scopeStack.length).toBe(before.scopes);
    expect(tensorflow.memory().numTensors).toBe(before.tensors);
    expect([...tensorflow.scalar(2).square().dataSync()]).toEqual([4]);
  });

  it("refuses an asynchronous step", () => {
    const step = (async () => ({ outputs: {}, gradients: [] })) as never;
    expect(() => traceOf((x) => x, { step })).toThrow(
      /^PLAN_INVALID: trace: expected a synchronous/,
    );
    expect(tensorflow.getBackend()).toBe("cpu");
  });

  it("refuses a trace within a trace", () => {
    expect(() =>
      traceOf((x) => {
        traceOf((inner) => inner);
        return x;
      }),
    ).toThrow(/^PLAN_INVALID: trace: expected one trace at a time/);
    expect(tensorflow.getBackend()).toBe("cpu");
  });

  it("gives inputs that pass through and constants as outputs", async () => {
    const plan = trace({
      name: "test",
      inputs: [{ name: "x", shape: [2], dtype: "int32" }],
      parameters: [],
      step: ({ x }) => ({
        outputs: {
          same: x!,
          twin: x!.clone(),
          fixed: tensorflow.tensor([1.5, 2.5]),
          even: tensorflow.ones([3]),
        },
        gradients: [],
      }),
    });
    const executable = await onnxEngine().compile(plan);
    const outputs = executable.run({ x: Int32Array.of(3, 4) }, new Float32Array(0));
    expect({ ...outputs }).toEqual({
      same: Int32Array.of(3, 4),
      twin: Int32Array.of(3, 4),
      fixed: Float32Array.of(1.5, 2.5),
      even: Float32Array.of(1, 1, 1),
    });
  });
});

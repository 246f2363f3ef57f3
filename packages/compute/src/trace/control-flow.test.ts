import type * as tf from "@tensorflow/tfjs";
import { describe, expect, it } from "vitest";
import { FAST_ENGINES, REFERENCE } from "../engines/tested-engines.fixture.js";
import { loadTensorFlow } from "../tensorflow.js";
import { cond, loop } from "./control-flow.js";
import { trace } from "./trace.js";

const tensorflow = loadTensorFlow();
type Step = (inputs: Readonly<Record<string, tf.Tensor>>) => Record<string, tf.Tensor>;

const SHAPES: Record<string, number[]> = { xs: [5, 2, 3], h: [2, 4], w: [3, 4], u: [4, 4] };
const inputs = Object.fromEntries(
  Object.entries(SHAPES).map(([name, shape], phase) => [
    name,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) =>
      Math.sin(1.3 * i + phase),
    ),
  ]),
);

function planOf(step: Step) {
  return trace({
    name: "test",
    inputs: Object.entries(SHAPES).map(([name, shape]) => ({ name, shape, dtype: "float32" })),
    parameters: [],
    step: (tensors) => ({ outputs: step(tensors), gradients: [] }),
  });
}

/** The step run by TensorFlow.js without a trace, where loop and cond are JavaScript's own. */
function eagerly(step: Step): Record<string, number[]> {
  return tensorflow.tidy(() => {
    const tensors = Object.fromEntries(
      Object.entries(SHAPES).map(([name, shape]) => [
        name,
        tensorflow.tensor(inputs[name]!, shape),
      ]),
    );
    return Object.fromEntries(
      Object.entries(step(tensors)).map(([name, tensor]) => [name, [...tensor.dataSync()]]),
    );
  });
}

/** A recurrent network over `xs`: the states at each time, and the last one. */
function recurrent(isReversed: boolean) {
  return ({ xs, h, w, u }: Readonly<Record<string, tf.Tensor>>) =>
    loop({
      carried: [h!],
      sequences: [xs!],
      shared: [w!, u!],
      isReversed,
      body: ([state], [x]) => {
        const next = x!.matMul(w!).add(state!.matMul(u!)).tanh();
        return { carried: [next], stacked: [next.square()] };
      },
    });
}

const steps: Record<string, Step> = {
  "a recurrent network": (tensors) => {
    const { carried, stacked } = recurrent(false)(tensors);
    return { last: carried[0]!, squares: stacked[0]! };
  },
  "a reversed one": (tensors) => {
    const { carried, stacked } = recurrent(true)(tensors);
    return { last: carried[0]!, squares: stacked[0]! };
  },
  "a loop without sequences": ({ h }) => ({
    power: loop({ times: 7, carried: [h!], body: ([x]) => ({ carried: [x!.mul(0.9)] }) })
      .carried[0]!,
  }),
  "a loop that only stacks": ({ xs }) => ({
    sums: loop({
      carried: [],
      sequences: [xs!],
      body: (_, [x]) => ({ carried: [], stacked: [x!.sum(1)] }),
    }).stacked[0]!,
  }),
  "a condition that holds": ({ h, w }) => ({
    result: cond(
      h!.sum().square().greaterEqual(0),
      [w!],
      ([a]) => [a!.exp()],
      ([a]) => [a!.neg()],
    )[0]!,
  }),
  "a condition that does not": ({ h, w }) => ({
    result: cond(
      h!.sum().square().less(0),
      [w!],
      ([a]) => [a!.exp()],
      ([a]) => [a!.neg()],
    )[0]!,
  }),
  "a condition whose branches use different tensors of outside": ({ h, w, u }) => ({
    result: cond(
      h!.sum().less(0),
      [],
      () => [w!.sum()],
      () => [u!.sum()],
    )[0]!,
  }),
  "a condition within a loop": ({ h }) => ({
    result: loop({
      times: 4,
      carried: [h!],
      body: ([x]) => ({
        carried: cond(
          x!.sum().greater(1),
          [x!],
          ([a]) => [a!.mul(0.5)],
          ([a]) => [a!.add(1)],
        ),
      }),
    }).carried[0]!,
  }),
  "a loop within a loop": ({ xs, h }) => ({
    result: loop({
      carried: [h!],
      sequences: [xs!],
      body: ([outer], [x]) => ({
        carried: loop({
          times: 3,
          carried: [outer!],
          shared: [x!],
          body: ([inner]) => ({ carried: [inner!.mul(0.5).add(x!.sum())] }),
        }).carried,
      }),
    }).carried[0]!,
  }),
  "the gradients of a recurrent network": (tensors) => {
    const names = ["xs", "h", "w", "u"];
    const gradients = tensorflow.grads(
      (xs: tf.Tensor, h: tf.Tensor, w: tf.Tensor, u: tf.Tensor) => {
        const { carried, stacked } = recurrent(false)({ xs, h, w, u });
        return carried[0]!.sum().add(stacked[0]!.mean());
      },
    )(names.map((name) => tensors[name]!));
    return Object.fromEntries(gradients.map((gradient, index) => [names[index]!, gradient]));
  },
  "the gradients of a reversed one": (tensors) => {
    const gradients = tensorflow.grads((xs: tf.Tensor, u: tf.Tensor) =>
      recurrent(true)({ ...tensors, xs, u }).stacked[0]!.sum(),
    )([tensors["xs"]!, tensors["u"]!]);
    return { xs: gradients[0]!, u: gradients[1]! };
  },
  "the gradients of a condition": ({ h, w }) => {
    const [dw] = tensorflow.grads((x: tf.Tensor) =>
      cond(
        h!.sum().less(100),
        [x],
        ([a]) => [a!.exp()],
        ([a]) => [a!.neg()],
      )[0]!.sum(),
    )([w!]);
    return { dw: dw! };
  },
  "the gradients of a loop within a loop": ({ xs, h }) => {
    const [dxs, dh] = tensorflow.grads((sequence: tf.Tensor, start: tf.Tensor) =>
      loop({
        carried: [start],
        sequences: [sequence],
        body: ([outer], [x]) => ({
          carried: loop({
            times: 3,
            carried: [outer!],
            shared: [x!],
            body: ([inner]) => ({ carried: [inner!.mul(0.5).add(x!.sum()).sin()] }),
          }).carried,
        }),
      }).carried[0]!.sum(),
    )([xs!, h!]);
    return { dxs: dxs!, dh: dh! };
  },
};

describe.each([...FAST_ENGINES, REFERENCE])("on the $name engine", (engine) => {
  it.each(Object.entries(steps))(
    "%s gives what JavaScript's own control flow gives",
    async (_, step) => {
      const executable = await engine.compile(planOf(step));
      const got = executable.run(inputs, new Float32Array(0));
      for (const [name, values] of Object.entries(eagerly(step))) {
        expect(got[name]!.length).toBe(values.length);
        values.forEach((value, index) => expect(got[name]![index]).toBeCloseTo(value, 5));
      }
      executable.dispose();
    },
  );
});

describe("loop", () => {
  it("is one node, however often it runs", () => {
    const nodes = (times: number): number =>
      planOf(({ h }) => ({
        x: loop({ times, carried: [h!], body: ([x]) => ({ carried: [x!.tanh()] }) }).carried[0]!,
      })).nodes.length;
    expect(nodes(10_000)).toBe(nodes(2));
  });

  it("refuses sequences of different lengths", () => {
    expect(() =>
      planOf(({ xs, h }) => ({
        x: loop({
          carried: [],
          sequences: [xs!, h!],
          body: (_, [x]) => ({ carried: [], stacked: [x!] }),
        }).stacked[0]!,
      })),
    ).toThrow(
      /^SHAPE_MISMATCH: loop: expected sequences of one length, got \(\[5,2,3\], \[2,4\]\)/,
    );
  });

  it("refuses a body that changes what it carries", () => {
    expect(() =>
      planOf(({ h }) => ({
        x: loop({ times: 2, carried: [h!], body: ([x]) => ({ carried: [x!.sum(0)] }) }).carried[0]!,
      })),
    ).toThrow(
      /^PLAN_INVALID: kernel Loop: expected carried values to be \(float32 \[2,4\]\), got \(float32 \[4\]\)/,
    );
  });

  it("refuses to lose a gradient to a tensor it was not told of", () => {
    expect(() =>
      planOf(({ h, u }) => ({
        du: tensorflow.grad((x: tf.Tensor) =>
          loop({
            times: 2,
            carried: [h!],
            body: ([s]) => ({ carried: [s!.matMul(x)] }),
          }).carried[0]!.sum(),
        )(u!),
      })),
    ).toThrow(/^PLAN_INVALID: body of a loop or condition: expected .* got another tensor \[4,4\]/);
  });

  it("refuses random numbers within", () => {
    expect(() =>
      planOf(({ h }) => ({
        x: loop({
          times: 2,
          carried: [h!],
          body: ([s]) => ({ carried: [s!.add(tensorflow.randomUniform([2, 4]))] }),
        }).carried[0]!,
      })),
    ).toThrow(/operation randomUniform: expected no random numbers within a loop or condition/);
  });
});

describe("cond", () => {
  it("refuses branches with different results", () => {
    expect(() =>
      planOf(({ h }) => ({
        x: cond(
          h!.sum().greater(0),
          [h!],
          ([a]) => [a!],
          ([a]) => [a!.sum()],
        )[0]!,
      })),
    ).toThrow(
      /^PLAN_INVALID: kernel If: expected outputs of the second body to be \(float32 \[2,4\]\), got \(float32 \[\]\)/,
    );
  });
});

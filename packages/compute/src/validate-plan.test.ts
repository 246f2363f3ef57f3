import { describe, expect, it } from "vitest";
import { isPsgdError, layoutOf, type Plan, type PlanNode, type PlanValue } from "@psgd/core";
import { PLAN_LIMITS, validatePlan } from "./validate-plan.js";

const float = (...shape: number[]): PlanValue => ({ shape, dtype: "float32" });

/** result = tanh(x w) + c, with the gradient of w standing in for a real one. */
function plan(): Plan {
  return {
    format: "psgd-plan",
    version: 2,
    state: { layout: layoutOf([]), values: [], next: [] },
    noise: [],
    name: "test",
    values: [
      float(2, 3),
      float(3, 4),
      float(4),
      float(2, 4),
      float(2, 4),
      float(2, 4),
      float(3, 4),
    ],
    inputs: [{ name: "x", value: 0 }],
    layout: layoutOf([{ name: "w", shape: [3, 4] }]),
    parameters: [1],
    constants: [{ value: 2, data: new Float32Array(4) }],
    nodes: [
      node("BatchMatMul", [0, 1], [3], { transposeA: false, transposeB: false }),
      node("Tanh", [3], [4]),
      node("Add", [4, 2], [5]),
      node("BatchMatMul", [0, 5], [6], { transposeA: true, transposeB: false }),
    ],
    outputs: [{ name: "result", value: 5 }],
    gradients: [6],
  };
}

function node(
  kernel: string,
  inputs: PlanNode["inputs"],
  outputs: number[],
  attributes: PlanNode["attributes"] = {},
): PlanNode {
  return { kernel, inputs, outputs, attributes };
}

/** The plan with node `index` replaced. */
function withNode(index: number, replacement: unknown): unknown {
  return { ...plan(), nodes: plan().nodes.map((old, at) => (at === index ? replacement : old)) };
}

function withValue(id: number, value: unknown): unknown {
  return { ...plan(), values: plan().values.map((old, at) => (at === id ? value : old)) };
}

/** One node of no parameters. */
function single(
  kernel: string,
  inputs: PlanValue[],
  attributes: unknown,
  outputs: PlanValue[],
): unknown {
  return {
    ...plan(),
    values: [...inputs, ...outputs],
    inputs: inputs.map((_, value) => ({ name: `x${value}`, value })),
    layout: layoutOf([]),
    parameters: [],
    constants: [],
    gradients: [],
    outputs: [],
    nodes: [
      {
        kernel,
        attributes,
        inputs: inputs.map((_, value) => value),
        outputs: outputs.map((_, index) => inputs.length + index),
      },
    ],
  };
}

describe("validatePlan", () => {
  it("returns a plan that is right", () => {
    const right = plan();
    expect(validatePlan(right)).toBe(right);
  });

  const hostile: [string, unknown, RegExp][] = [
    ["nothing", null, /expected an object/],
    ["text", "plan", /expected an object/],
    ["another format", { ...plan(), format: "onnx" }, /expected psgd-plan 2, got onnx 2/],
    [
      "another version",
      { ...plan(), version: 1 },
      /expected psgd-plan 2, got psgd-plan 1; trace it again/,
    ],
    ["a name that is none", { ...plan(), name: "" }, /expected a name/],
    ["a list that is none", { ...plan(), nodes: { length: 0 } }, /expected a list as `nodes`/],
    ["too many nodes", { ...plan(), nodes: Array(PLAN_LIMITS.nodes + 1) }, /at most 50000 nodes/],
    [
      "a hole among the nodes",
      { ...plan(), nodes: Object.assign(Array(5), plan().nodes) },
      /expected an object; node 4/,
    ],
    ["a hole in a shape", withValue(0, { shape: Array(2), dtype: "float32" }), /positive extents/],
    ["a fractional extent", withValue(0, float(2.5, 3)), /positive extents, got \[2.5,3\]/],
    ["a negative extent", withValue(0, float(-2, -3)), /positive extents/],
    ["an empty extent", withValue(0, float(0, 3)), /positive extents/],
    ["an infinite extent", withValue(0, float(Infinity)), /positive extents/],
    ["too many axes", withValue(0, float(1, 1, 1, 1, 1, 2, 3)), /at most 6 positive extents/],
    ["an enormous value", withValue(0, float(2 ** 20, 2 ** 20)), /bytes in value 0/],
    [
      "enormous values together",
      { ...plan(), values: Array(5).fill(float(2 ** 28)) },
      /bytes in all values/,
    ],
    [
      "an unknown type",
      withValue(0, { shape: [1], dtype: "string" }),
      /expected float32, int32 or bool, got string/,
    ],
    ["a type from the prototype", withValue(0, { shape: [1], dtype: "toString" }), /got toString/],
    [
      "an unknown kernel",
      withNode(1, node("Eval", [3], [4])),
      /expected a known kernel, got "Eval"; node 1/,
    ],
    ["a kernel from the prototype", withNode(1, node("constructor", [3], [4])), /known kernel/],
    [
      "a kernel that is no text",
      withNode(1, { ...node("Tanh", [3], [4]), kernel: ["Tanh"] }),
      /known kernel/,
    ],
    ["an id out of range", withNode(1, node("Tanh", [7], [4])), /value id below 7, got 7; node 1/],
    ["a negative id", withNode(1, node("Tanh", [-1], [4])), /value id below 7, got -1/],
    ["an id that is no number", withNode(1, node("Tanh", ["3" as never], [4])), /value id below 7/],
    [
      "a use before the definition",
      withNode(0, node("Tanh", [4], [3])),
      /value 4 to be computed before its use/,
    ],
    ["a cycle", withNode(1, node("Tanh", [4], [4])), /value 4 to be computed before its use/],
    ["a second definition", withNode(1, node("Tanh", [3], [3])), /one definition of value 3/],
    [
      "an input overwritten",
      withNode(1, node("Reshape", [3], [0], { shape: [2, 3] })),
      /PLAN_INVALID/,
    ],
    [
      "a value nobody defines",
      { ...plan(), values: [...plan().values, float(1)] },
      /got none of value 7/,
    ],
    [
      "a missing input",
      withNode(2, node("Add", [4], [5])),
      /expected input `b` of Add, got none; node 2/,
    ],
    [
      "an absent input that must be there",
      withNode(2, node("Add", [4, null], [5])),
      /input `b` of Add/,
    ],
    [
      "an input too many",
      withNode(1, node("Tanh", [3, 3], [4])),
      /expected 1 inputs of Tanh, got 2/,
    ],
    [
      "an output too many",
      withNode(2, node("Add", [4, 2], [5, 6])),
      /expected 1 outputs of Add, got 2/,
    ],
    [
      "shapes that do not multiply",
      withValue(1, float(2, 6)),
      /parameter `w`: expected|expected float32 \[3,4\]/,
    ],
    [
      "a shape the kernel does not give",
      withValue(4, float(4, 2)),
      /expected float32 \[2,4\], got float32 \[4,2\]; node 1/,
    ],
    [
      "a type the kernel does not give",
      withValue(4, { shape: [2, 4], dtype: "int32" }),
      /got int32 \[2,4\]; node 1/,
    ],
    [
      "an unknown attribute",
      withNode(1, node("Tanh", [3], [4], { file: "/etc/passwd" })),
      /no attribute `file` of Tanh/,
    ],
    [
      "an attribute of another type",
      withNode(0, node("BatchMatMul", [0, 1], [3], { transposeA: "yes" })),
      /true or false as attribute `transposeA`, got "yes"; node 0/,
    ],
    [
      "a function as attribute",
      withNode(0, { ...plan().nodes[0], attributes: { transposeA: () => true } }),
      /plain attributes, got a function/,
    ],
    [
      "deep attributes",
      withNode(0, node("BatchMatMul", [0, 1], [3], { transposeA: [[[[[1]]]]] as never })),
      /levels in an attribute/,
    ],
    [
      "no attributes",
      withNode(1, { ...node("Tanh", [3], [4]), attributes: null }),
      /expected an object; node 1/,
    ],
    [
      "a constant too short",
      { ...plan(), constants: [{ value: 2, data: new Float32Array(3) }] },
      /Float32Array of 4 values; constant 2/,
    ],
    [
      "a constant of another type",
      { ...plan(), constants: [{ value: 2, data: new Int32Array(4) }] },
      /Float32Array of 4 values/,
    ],
    [
      "a constant that is a plain list",
      { ...plan(), constants: [{ value: 2, data: [0, 0, 0, 0] }] },
      /Float32Array of 4 values/,
    ],
    [
      "two inputs of one name",
      { ...plan(), inputs: [...plan().inputs, ...plan().inputs] },
      /`x` twice/,
    ],
    [
      "two outputs of one name",
      { ...plan(), outputs: [...plan().outputs, ...plan().outputs] },
      /`result` twice/,
    ],
    [
      "an output that nothing computes",
      { ...plan(), outputs: [{ name: "result", value: 9 }] },
      /value id below 7, got 9/,
    ],
    [
      "a layout with a gap",
      {
        ...plan(),
        layout: { size: 12, tensors: [{ name: "w", shape: [3, 4], offset: 1, size: 12 }] },
      },
      /12 values at 0, got 12 at 1/,
    ],
    [
      "a layout of another size",
      { ...plan(), layout: { ...plan().layout, size: 13 } },
      /layout of 12 values, got 13/,
    ],
    [
      "a parameter of another shape",
      { ...plan(), layout: layoutOf([{ name: "w", shape: [4, 3] }]) },
      /expected float32 \[4,3\], got float32 \[3,4\]; parameter `w`/,
    ],
    ["too few parameters", { ...plan(), parameters: [] }, /expected 1 parameters, got 0/],
    ["too many gradients", { ...plan(), gradients: [6, 6] }, /expected 1 gradients, got 2/],
    [
      "a gradient of another shape",
      { ...plan(), gradients: [5] },
      /expected float32 \[3,4\], got float32 \[2,4\]; gradient of `w`/,
    ],
    [
      "a reshape of another size",
      single("Reshape", [float(6)], { shape: [7] }, [float(7)]),
      /shape of 6 values, got \[7\]/,
    ],
    [
      "a reshape to several unknowns",
      single("Reshape", [float(6)], { shape: [-1, -1] }, [float(6, 6)]),
      /PLAN_INVALID/,
    ],
    [
      "a slice beyond the end",
      single("Slice", [float(6)], { begin: [4], size: [3] }, [float(3)]),
      /expected a part of \[6\]/,
    ],
    [
      "a slice before the start",
      single("Slice", [float(6)], { begin: [-1], size: [3] }, [float(3)]),
      /expected a part of \[6\]/,
    ],
    [
      "an axis that does not exist",
      single("Sum", [float(6)], { axis: 1 }, [float(6)]),
      /different axes of 1, got 1|axes of 1 as/,
    ],
    [
      "an axis twice",
      single("Sum", [float(6, 2)], { axis: [0, -2] }, [float(2)]),
      /different axes of 2/,
    ],
    [
      "a permutation that is none",
      single("Transpose", [float(2, 2)], { perm: [0, 0] }, [float(2, 2)]),
      /different axes/,
    ],
    [
      "parts without end",
      single("Unpack", [float(2 ** 20)], { axis: 0 }, [float()]),
      /1 to 4096 parts/,
    ],
    [
      "a count of parts without end",
      single("SplitV", [float(2 ** 20)], { axis: 0, numOrSizeSplits: 2 ** 20 }, [float(1)]),
      /1 to 4096 parts/,
    ],
    [
      "negative padding",
      single("PadV2", [float(6)], { paddings: [[-1, 0]], constantValue: 0 }, [float(5)]),
      /pairs of counts/,
    ],
    [
      "integers where floats belong",
      single("Tanh", [{ shape: [2], dtype: "int32" }], {}, [float(2)]),
      /expected float32 as input 0, got int32/,
    ],
    [
      "mixed types",
      single("Add", [float(2), { shape: [2], dtype: "int32" }], {}, [float(2)]),
      /equal types/,
    ],
    ["no inputs of a list", single("AddN", [], {}, [float(2)]), /inputs of AddN, got none/],
    [
      "an activation nobody knows",
      single("_FusedMatMul", [float(2, 2), float(2, 2)], { activation: "eval" }, [float(2, 2)]),
      /one of linear, relu/,
    ],
  ];
  it.each(hostile)("refuses %s", (_, candidate, message) => {
    let refusal: unknown;
    try {
      validatePlan(candidate);
    } catch (error) {
      refusal = error;
    }
    expect(isPsgdError(refusal, "PLAN_INVALID"), String(refusal)).toBe(true);
    expect((refusal as Error).message).toMatch(message);
  });

  it("refuses every plan with one field replaced by nonsense, with an error of ours", () => {
    const nonsense: unknown[] = [undefined, null, -1, 0.5, NaN, "x", [], {}, [null], [{}], () => 0];
    const mutate = (target: unknown, path: readonly string[], value: unknown): unknown => {
      const [field, ...rest] = path;
      if (field === undefined) return value;
      const copy: Record<string, unknown> | unknown[] = Array.isArray(target)
        ? [...(target as unknown[])]
        : { ...(target as object) };
      (copy as Record<string, unknown>)[field] = mutate(
        (target as Record<string, unknown>)[field],
        rest,
        value,
      );
      return copy;
    };
    const paths = (target: unknown, path: readonly string[] = []): (readonly string[])[] =>
      typeof target !== "object" || target === null || ArrayBuffer.isView(target)
        ? [path]
        : [
            path,
            ...Object.entries(target).flatMap(([field, value]) => paths(value, [...path, field])),
          ];
    for (const path of paths(plan())) {
      for (const value of nonsense) {
        try {
          validatePlan(mutate(plan(), path, value));
        } catch (error) {
          const what = `${path.join(".")} = ${JSON.stringify(value)}: ${String(error)}`;
          expect(isPsgdError(error, "PLAN_INVALID"), what).toBe(true);
        }
      }
    }
  });
});

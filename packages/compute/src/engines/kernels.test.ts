import { afterAll, describe, expect, it } from "vitest";
import {
  layoutOf,
  type Plan,
  type PlanArray,
  type PlanAttribute,
  type PlanValue,
} from "@psgd/core";
import { elementCount, KernelCall } from "../kernels/kernel-call.js";
import { KERNELS, kernelSignature, type KernelName } from "../kernels/kernels.js";
import { loadTensorFlow } from "../tensorflow.js";
import { ARRAY_OF } from "../validate-plan.js";
import { FAST_ENGINES } from "./tested-engines.fixture.js";

// Each kernel runs on TensorFlow.js's cpu backend, called directly, and as a plan of one node on each engine:
// shape, type and values must agree.

interface Case {
  readonly inputs: readonly (PlanValue & { readonly data: readonly number[] })[];
  readonly attributes?: Readonly<Record<string, PlanAttribute>>;
}

const float = (shape: readonly number[], data?: readonly number[]): Case["inputs"][number] => ({
  shape,
  dtype: "float32",
  data: data ?? wave(elementCount(shape)),
});
const int = (shape: readonly number[], data: readonly number[]): Case["inputs"][number] => ({
  shape,
  dtype: "int32",
  data,
});
const bool = (shape: readonly number[], data: readonly number[]): Case["inputs"][number] => ({
  shape,
  dtype: "bool",
  data,
});
/** Values of both signs without ties, in about -2 … 2. */
function wave(count: number, phase = 0): number[] {
  return Array.from({ length: count }, (_, i) =>
    Math.fround(2 * Math.sin(1.7 * i + phase) + 0.013 * i),
  );
}

const signs = float([2, 4], [-3.5, -1, -0.25, 0, 0.25, 0.5, 1, 3.5]);
const positive = float([6], [0.01, 0.3, 1, 2.5, 9, 400]);
const unit = float([5], [-0.9, -0.3, 0, 0.4, 0.9]);
const matrix = float([3, 4]);
const cube = float([2, 3, 4]);

const counts = int([2, 3], [-4, -1, 0, 2, 3, 7]);
const flags = bool([2, 3], [1, 0, 1, 1, 1, 1]);
const broadcastPairs: Case[] = [
  { inputs: [matrix, float([3, 4], wave(12, 1))] },
  { inputs: [matrix, float([4], wave(4, 1))] },
  { inputs: [float([]), matrix] },
  { inputs: [float([3, 1]), float([1, 4], wave(4, 2))] },
  // Short rows, of which the engine makes long ones.
  { inputs: [float([2, 5, 30, 3]), float([3], wave(3, 1))] },
  { inputs: [float([1, 1, 3], wave(3, 1)), float([4, 50, 3])] },
  { inputs: [float([70, 2]), float([1, 2], wave(2, 1))] },
];
const comparisons: Case[] = [
  { inputs: [signs, float([4], [-3.5, 0, -0.25, 1])] },
  { inputs: [counts, int([3], [-4, 2, 0])] },
];
const logic: Case[] = [{ inputs: [flags, bool([3], [0, 1, 1])] }];
const reductions = (axis: string): Case[] => [
  { inputs: [cube], attributes: { [axis]: [1], keepDims: false } },
  { inputs: [cube], attributes: { [axis]: [0, 2], keepDims: true } },
  { inputs: [cube], attributes: { [axis]: -1, keepDims: false } },
  { inputs: [cube], attributes: { keepDims: false } },
  { inputs: [cube], attributes: { [axis]: [], keepDims: false } },
];
const intReductions = (axis: string): Case => ({
  inputs: [counts],
  attributes: { [axis]: 0, keepDims: false },
});
const positions: Case[] = [
  { inputs: [matrix], attributes: { axis: 0 } },
  { inputs: [cube], attributes: { axis: -1 } },
  // The first of equal values counts.
  { inputs: [float([2, 3], [1, 5, 5, 2, 2, 2])], attributes: { axis: 1 } },
];
const products: Case[] = [
  { inputs: [matrix, float([4, 2])], attributes: { transposeA: false, transposeB: false } },
  { inputs: [float([4, 3]), float([4, 2])], attributes: { transposeA: true, transposeB: false } },
  { inputs: [matrix, float([2, 4])], attributes: { transposeA: false, transposeB: true } },
  { inputs: [float([4, 3]), float([2, 4])], attributes: { transposeA: true, transposeB: true } },
  {
    inputs: [float([1, 3, 4]), float([1, 4, 2])],
    attributes: { transposeA: false, transposeB: false },
  },
  {
    inputs: [float([2, 3, 4]), float([2, 4, 2])],
    attributes: { transposeA: false, transposeB: false },
  },
  {
    inputs: [float([2, 4, 3]), float([1, 2, 4])],
    attributes: { transposeA: true, transposeB: true },
  },
];
const activations = ["linear", "relu", "relu6", "elu", "sigmoid", "leakyrelu"];

/** Windows of all kinds over an image of 7 x 6 (odd and even), and how many positions they have. */
const windows = [
  { size: [3, 3], strides: [1, 1], pad: "valid", output: [5, 4] },
  { size: [3, 3], strides: [1, 1], pad: "same", output: [7, 6] },
  { size: [2, 3], strides: [2, 2], pad: "same", output: [4, 3] },
  { size: [2, 2], strides: [2, 2], pad: "valid", output: [3, 3] },
  { size: [3, 2], strides: [3, 1], pad: "valid", output: [2, 5] },
  // The window does not even reach the last row and column.
  { size: [2, 1], strides: [4, 4], pad: "valid", output: [2, 2] },
] as const;
const image = (channels: number): Case["inputs"][number] => float([2, 7, 6, channels]);
const windowAttributes = ({ strides, pad }: (typeof windows)[number]) => ({ strides, pad });
const convolutions = (channels: number, last: number, outputChannels: number) => ({
  forward: [
    ...windows.map((window) => ({
      inputs: [image(channels), float([...window.size, channels, last])],
      attributes: { ...windowAttributes(window), dataFormat: "NHWC", dilations: [1, 1] },
    })),
    {
      inputs: [image(channels), float([2, 3, channels, last])],
      attributes: { strides: 1, pad: "same", dataFormat: "NHWC", dilations: [2, 1] },
    },
  ],
  backpropInput: windows.map((window) => ({
    inputs: [
      float([2, ...window.output, outputChannels]),
      float([...window.size, channels, last], wave(elementCount(window.size) * channels * last, 1)),
    ],
    attributes: {
      ...windowAttributes(window),
      dataFormat: "NHWC",
      dilations: [1, 1],
      inputShape: [2, 7, 6, channels],
    },
  })),
  backpropFilter: windows.map((window) => ({
    inputs: [image(channels), float([2, ...window.output, outputChannels])],
    attributes: {
      ...windowAttributes(window),
      dataFormat: "NHWC",
      dilations: [1, 1],
      filterShape: [...window.size, channels, last],
    },
  })),
});
const dense = convolutions(3, 4, 4);
const depthwise = convolutions(3, 2, 6);
const pools: Case[] = windows.map((window) => ({
  inputs: [image(3)],
  attributes: { ...windowAttributes(window), filterSize: window.size },
}));
const averageGradients: Case[] = windows.map((window) => ({
  inputs: [float([2, ...window.output, 3]), image(3)],
  attributes: { ...windowAttributes(window), filterSize: window.size },
}));
/** With ties, as a background has: the first of equal values counts. */
const plateaus = float(
  [2, 7, 6, 3],
  wave(252).map((value) => Math.max(0, value)),
);
const maxGradients: Case[] = averageGradients.map(({ inputs: [dy], attributes }) => ({
  // The third input is what the forward pass gave; only its shape matters.
  inputs: [dy!, plateaus, dy!],
  attributes: attributes!,
}));

/** Those with bodies have no counterpart in TensorFlow.js; `trace/control-flow.test.ts` holds them against JavaScript. */
type OpenKernel = Exclude<KernelName, "If" | "Loop">;

/** Mean, variance, offset and scale of each channel. */
const channels = [
  float([3], wave(3, 2)),
  float([3], [0.5, 1, 2]),
  float([3], wave(3, 4)),
  float([3], wave(3, 5)),
];
const normalised: Case[] = [
  [image(3), ...channels],
  [image(3), channels[0]!, channels[1]!],
  [float([5, 3]), ...channels],
  // Statistics of each sample, as a layer normalisation has them.
  [
    float([2, 4]),
    float([2, 4], wave(8, 1)),
    float(
      [2, 4],
      wave(8).map((v) => v * v + 0.1),
    ),
    float([2, 4], wave(8, 2)),
    float([2, 4], wave(8, 3)),
  ],
].map((inputs) => ({ inputs, attributes: { varianceEpsilon: 0.001 } }));

const CASES: Readonly<Record<OpenKernel, readonly Case[]>> = {
  AvgPool: pools,
  AvgPoolGrad: averageGradients,
  Conv2D: dense.forward,
  Conv2DBackpropFilter: dense.backpropFilter,
  Conv2DBackpropInput: dense.backpropInput,
  DepthwiseConv2dNative: depthwise.forward,
  DepthwiseConv2dNativeBackpropFilter: depthwise.backpropFilter,
  DepthwiseConv2dNativeBackpropInput: depthwise.backpropInput,
  FusedConv2D: [
    ...dense.forward.map(({ inputs, attributes }) => ({
      inputs: [...inputs, float([4], [0.5, -0.5, 0, 1])],
      attributes: { ...attributes, activation: "linear" },
    })),
    ...activations.map((activation) => ({
      inputs: dense.forward[0]!.inputs,
      attributes: { ...dense.forward[0]!.attributes, activation, leakyreluAlpha: 0.2 },
    })),
  ],
  FusedDepthwiseConv2D: depthwise.forward.map(({ inputs, attributes }) => ({
    inputs: [...inputs, float([6], [0.5, -0.5, 0, 1, 2, -1])],
    attributes: { ...attributes, activation: "relu" },
  })),
  MaxPool: pools,
  MaxPoolGrad: maxGradients,

  Abs: [{ inputs: [signs] }, { inputs: [counts] }],
  Acos: [{ inputs: [unit] }],
  Acosh: [{ inputs: [float([3], [1, 1.5, 40])] }],
  Asin: [{ inputs: [unit] }],
  Asinh: [{ inputs: [signs] }],
  Atan: [{ inputs: [signs] }],
  Atanh: [{ inputs: [unit] }],
  Ceil: [{ inputs: [signs] }],
  ClipByValue: [{ inputs: [signs], attributes: { clipValueMin: -1, clipValueMax: 0.5 } }],
  Cos: [{ inputs: [signs] }],
  Cosh: [{ inputs: [signs] }],
  Elu: [{ inputs: [signs] }],
  Erf: [{ inputs: [signs] }],
  Exp: [{ inputs: [signs] }],
  Expm1: [{ inputs: [signs] }],
  Floor: [{ inputs: [signs] }],
  Identity: [{ inputs: [signs] }, { inputs: [counts] }, { inputs: [flags] }],
  LeakyRelu: [{ inputs: [signs], attributes: { alpha: 0.3 } }],
  Log: [{ inputs: [positive] }],
  Log1p: [{ inputs: [positive] }],
  LogicalNot: [{ inputs: [flags] }],
  Neg: [{ inputs: [signs] }, { inputs: [counts] }],
  OnesLike: [{ inputs: [signs] }, { inputs: [counts] }],
  Reciprocal: [{ inputs: [positive] }],
  Relu: [{ inputs: [signs] }],
  Relu6: [{ inputs: [positive] }, { inputs: [signs] }],
  Round: [{ inputs: [float([7], [-2.5, -1.5, -0.4, 0.5, 1.5, 2.5, 2.6])] }],
  Rsqrt: [{ inputs: [positive] }],
  Selu: [{ inputs: [signs] }],
  Sigmoid: [{ inputs: [signs] }, { inputs: [float([4], [-200, -20, 20, 200])] }],
  Sign: [{ inputs: [signs] }],
  Sin: [{ inputs: [signs] }],
  Sinh: [{ inputs: [signs] }],
  Softplus: [{ inputs: [signs] }, { inputs: [float([4], [-100, -15, 15, 100])] }],
  Sqrt: [{ inputs: [positive] }],
  Square: [{ inputs: [signs] }, { inputs: [counts] }],
  Step: [
    { inputs: [signs], attributes: { alpha: 0 } },
    { inputs: [signs], attributes: { alpha: 0.25 } },
  ],
  Tan: [{ inputs: [unit] }],
  Tanh: [{ inputs: [signs] }],
  ZerosLike: [{ inputs: [signs] }, { inputs: [flags] }],

  IsFinite: [{ inputs: [float([4], [1, NaN, Infinity, -Infinity])] }],
  IsInf: [{ inputs: [float([4], [1, NaN, Infinity, -Infinity])] }],
  IsNan: [{ inputs: [float([4], [1, NaN, Infinity, -Infinity])] }],
  Cast: [
    { inputs: [signs], attributes: { dtype: "int32" } },
    { inputs: [signs], attributes: { dtype: "bool" } },
    { inputs: [counts], attributes: { dtype: "float32" } },
    { inputs: [flags], attributes: { dtype: "float32" } },
    { inputs: [flags], attributes: { dtype: "int32" } },
  ],

  Add: [...broadcastPairs, { inputs: [counts, int([3], [1, 2, 3])] }],
  FloorDiv: [{ inputs: [counts, int([3], [2, -2, 3])] }],
  Maximum: [...broadcastPairs, { inputs: [counts, int([3], [1, 2, 3])] }],
  Minimum: [...broadcastPairs, { inputs: [counts, int([3], [1, 2, 3])] }],
  Multiply: [...broadcastPairs, { inputs: [counts, int([3], [1, 2, 3])] }],
  Pow: [{ inputs: [positive, float([6], [2, -1, 0.5, 0, 1, 0.3])] }],
  RealDiv: [{ inputs: [matrix, float([4], [1, -2, 3, 0.5])] }],
  SquaredDifference: [...broadcastPairs, { inputs: [counts, int([3], [1, 2, 3])] }],
  Sub: [...broadcastPairs, { inputs: [counts, int([3], [1, 2, 3])] }],
  EluGrad: [{ inputs: [float([2, 4]), float([2, 4], [-0.9, -0.5, -0.1, 0, 0.1, 1, 2, -0.2])] }],
  Prelu: [{ inputs: [matrix, float([4], [0.1, 0.2, -0.3, 0])] }],
  AddN: [
    { inputs: [matrix, float([3, 4], wave(12, 1)), float([3, 4], wave(12, 2))] },
    { inputs: [counts] },
  ],

  Equal: [...comparisons, ...logic],
  Greater: comparisons,
  GreaterEqual: comparisons,
  Less: comparisons,
  LessEqual: comparisons,
  LogicalAnd: logic,
  LogicalOr: logic,
  NotEqual: [...comparisons, ...logic],
  Select: [
    { inputs: [flags, float([2, 3]), float([2, 3], wave(6, 1))] },
    { inputs: [flags, counts, int([2, 3], [9, 8, 7, 6, 5, 4])] },
    { inputs: [flags, flags, bool([2, 3], [0, 0, 0, 0, 0, 1])] },
  ],

  FusedBatchNorm: normalised,
  All: [
    { inputs: [flags], attributes: { axis: [1], keepDims: false } },
    { inputs: [flags], attributes: { axis: [0], keepDims: true } },
  ],
  Any: [
    { inputs: [bool([2, 3], [0, 0, 0, 0, 1, 0])], attributes: { axis: [1], keepDims: false } },
    { inputs: [flags], attributes: { keepDims: false } },
  ],
  Max: [...reductions("reductionIndices"), intReductions("reductionIndices")],
  Mean: [...reductions("axis"), { inputs: [flags], attributes: { axis: 1, keepDims: false } }],
  Min: [...reductions("axis"), intReductions("axis")],
  Prod: [...reductions("axis"), intReductions("axis")],
  Sum: [
    ...reductions("axis"),
    intReductions("axis"),
    { inputs: [flags], attributes: { axis: [1], keepDims: false } },
  ],
  ArgMax: positions,
  ArgMin: positions,
  Cumsum: [
    { inputs: [matrix], attributes: { axis: 1, exclusive: false, reverse: false } },
    { inputs: [matrix], attributes: { axis: 1, exclusive: true, reverse: true } },
    { inputs: [cube], attributes: { axis: 0, exclusive: false, reverse: true } },
    { inputs: [counts], attributes: { axis: 1, exclusive: false, reverse: false } },
  ],
  Softmax: [
    { inputs: [matrix], attributes: { dim: 1 } },
    { inputs: [cube], attributes: { dim: -1 } },
    { inputs: [float([2, 3], [1e4, 0, -1e4, 1e4, 1e4, 5])], attributes: { dim: 1 } },
  ],

  BatchMatMul: products,
  _FusedMatMul: [
    ...products.map(({ inputs, attributes }) => ({
      inputs: [...inputs, float([inputs[1]!.shape.includes(2) ? 2 : 1], [0.5, -0.5])],
      attributes: { ...attributes, activation: "linear" },
    })),
    ...activations.map((activation) => ({
      inputs: [matrix, float([4, 2])],
      attributes: { transposeA: false, transposeB: false, activation, leakyreluAlpha: 0.2 },
    })),
  ],

  Concat: [
    { inputs: [matrix, float([2, 4])], attributes: { axis: 0 } },
    { inputs: [counts, int([2, 1], [8, 9])], attributes: { axis: -1 } },
    { inputs: [flags], attributes: { axis: 0 } },
  ],
  ExpandDims: [
    { inputs: [matrix], attributes: { dim: 1 } },
    { inputs: [matrix], attributes: { dim: -1 } },
  ],
  Fill: [
    { inputs: [], attributes: { shape: [2, 3], value: 0.25, dtype: "float32" } },
    { inputs: [], attributes: { shape: [], value: -3, dtype: "int32" } },
    { inputs: [], attributes: { shape: [2], value: 1, dtype: "bool" } },
  ],
  GatherV2: [
    { inputs: [matrix, int([2, 2], [2, 0, 1, 1])], attributes: { axis: 0, batchDims: 0 } },
    { inputs: [matrix, int([3], [3, 0, 1])], attributes: { axis: 1 } },
  ],
  OneHot: [
    {
      inputs: [int([4], [0, 2, -1, 7])],
      attributes: { depth: 3, onValue: 1, offValue: 0, dtype: "float32" },
    },
    {
      inputs: [int([2, 2], [0, 2, 1, 1])],
      attributes: { depth: 3, onValue: 5, offValue: -1, dtype: "int32" },
    },
  ],
  Pack: [
    { inputs: [matrix, float([3, 4], wave(12, 1))], attributes: { axis: 0 } },
    { inputs: [matrix, float([3, 4], wave(12, 1))], attributes: { axis: -1 } },
    { inputs: [counts], attributes: { axis: 1 } },
  ],
  PadV2: [
    {
      inputs: [matrix],
      attributes: {
        paddings: [
          [1, 0],
          [0, 2],
        ],
        constantValue: 0.5,
      },
    },
    { inputs: [int([2], [3, 4])], attributes: { paddings: [[0, 1]], constantValue: 7 } },
  ],
  Reshape: [
    { inputs: [cube], attributes: { shape: [6, 4] } },
    { inputs: [cube], attributes: { shape: [3, -1] } },
    { inputs: [flags], attributes: { shape: [6] } },
  ],
  Reverse: [
    { inputs: [matrix], attributes: { dims: [1] } },
    { inputs: [cube], attributes: { dims: [0, 2] } },
    { inputs: [counts], attributes: { dims: [0] } },
  ],
  Slice: [
    { inputs: [cube], attributes: { begin: [1, 0, 2], size: [1, 2, -1] } },
    { inputs: [counts], attributes: { begin: [0, 1], size: [2, 1] } },
    { inputs: [flags], attributes: { begin: [1], size: [1] } },
  ],
  SplitV: [
    { inputs: [matrix], attributes: { numOrSizeSplits: 2, axis: 1 } },
    { inputs: [matrix], attributes: { numOrSizeSplits: 3, axis: 0 } },
    { inputs: [matrix], attributes: { numOrSizeSplits: [1, 3], axis: 1 } },
    { inputs: [matrix], attributes: { numOrSizeSplits: [3], axis: 0 } },
    { inputs: [matrix], attributes: { numOrSizeSplits: [1, -1], axis: -1 } },
  ],
  Tile: [
    { inputs: [matrix], attributes: { reps: [2, 3] } },
    { inputs: [counts], attributes: { reps: [1, 2] } },
    { inputs: [float([3, 1, 2])], attributes: { reps: [1, 4, 1] } },
    { inputs: [flags], attributes: { reps: [2, 1] } },
  ],
  Transpose: [
    { inputs: [cube], attributes: { perm: [2, 0, 1] } },
    { inputs: [counts], attributes: { perm: [1, 0] } },
  ],
  Unpack: [
    { inputs: [cube], attributes: { axis: 1 } },
    { inputs: [matrix], attributes: { axis: -1 } },
  ],
  UnsortedSegmentSum: [
    { inputs: [matrix, int([3], [1, 0, 1])], attributes: { numSegments: 3 } },
    { inputs: [float([4]), int([4], [1, 1, 1, 0])], attributes: { numSegments: 2 } },
    { inputs: [float([4, 2]), int([4], [-1, 1, 7, 0])], attributes: { numSegments: 2 } },
  ],
};

const tensorflow = loadTensorFlow();
afterAll(() => tensorflow.disposeVariables());

/** What TensorFlow.js makes of a case. */
function reference(
  kernel: KernelName,
  { inputs, attributes = {} }: Case,
): (PlanValue & { data: PlanArray })[] {
  return tensorflow.tidy(() => {
    const tensors = inputs.map(({ data, shape, dtype }) =>
      tensorflow.tensor([...data], [...shape], dtype),
    );
    const names = kernelSignature(kernel)!.inputs;
    const given =
      names === "list"
        ? tensors
        : Object.fromEntries(names.map((name, index) => [name.replace("?", ""), tensors[index]]));
    const results = tensorflow.engine().runKernel(kernel, given as never, attributes as never);
    return [results].flat().map((result) => {
      const dtype = result.dtype as PlanValue["dtype"];
      return { shape: result.shape, dtype, data: ARRAY_OF[dtype].from(result.dataSync()) };
    });
  });
}

/** The case as a plan of one node, with the shapes that the signature infers. */
function planOf(kernel: KernelName, { inputs, attributes = {} }: Case): Plan {
  const given = inputs.map(({ shape, dtype }) => ({ shape, dtype }));
  const outputs = KERNELS[kernel].infer(new KernelCall(kernel, given, attributes, "test"));
  return {
    format: "psgd-plan",
    version: 2,
    state: { layout: layoutOf([]), values: [], next: [] },
    noise: [],
    name: kernel,
    values: [...given, ...outputs],
    inputs: inputs.map((_, value) => ({ name: `input${value}`, value })),
    layout: layoutOf([]),
    parameters: [],
    constants: [],
    nodes: [
      {
        kernel,
        inputs: inputs.map((_, value) => value),
        attributes,
        outputs: outputs.map((_, index) => inputs.length + index),
      },
    ],
    outputs: outputs.map((_, index) => ({ name: `output${index}`, value: inputs.length + index })),
    gradients: [],
  };
}

describe.each(FAST_ENGINES)("each kernel gives on $name what TensorFlow.js gives", (engine) => {
  for (const [kernel, cases] of Object.entries(CASES) as [OpenKernel, readonly Case[]][]) {
    it(kernel, async () => {
      for (const example of cases) {
        const expected = reference(kernel, example);
        const plan = planOf(kernel, example);
        const what = `${kernel} ${JSON.stringify(example.attributes)}`;
        expect(plan.values.slice(example.inputs.length), what).toEqual(
          expected.map(({ shape, dtype }) => ({ shape, dtype })),
        );
        const executable = await engine.compile(plan);
        const inputs = example.inputs.map(
          ({ dtype, data }, index) => [`input${index}`, ARRAY_OF[dtype].from(data)] as const,
        );
        const outputs = executable.run(Object.fromEntries(inputs), new Float32Array(0));
        expected.forEach(({ data }, index) => expectClose(outputs[`output${index}`]!, data, what));
        executable.dispose();
      }
    });
  }
});

/** Relative 2e-6: both compute in float32, TensorFlow.js's functions in float64 in between. */
function expectClose(got: PlanArray, expected: PlanArray, what: string): void {
  expect(got.length, what).toBe(expected.length);
  expected.forEach((value: number, index: number) => {
    const difference = Object.is(got[index], value) ? 0 : Math.abs(got[index]! - value);
    expect(difference, `${what}[${index}]: ${got[index]} instead of ${value}`).toBeLessThanOrEqual(
      2e-6 * Math.max(1, Math.abs(value)),
    );
  });
}

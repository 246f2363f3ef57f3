import { elementCount, type KernelCall } from "../../kernels/kernel-call.js";
import { sliceBounds, splitSizes, type KernelName } from "../../kernels/kernels.js";
import { activated } from "./activated.js";
import { lowerIf, lowerLoop } from "./control-lowerings.js";
import {
  averagePool,
  averagePoolBack,
  convolve,
  convolveBack,
  convolveFilter,
  maxPool,
  maxPoolBack,
} from "./image-lowerings.js";
import type { Lowered, Lowering } from "./lowering.js";
import type { OnnxAttribute } from "./model-proto.js";
import type { OnnxGraph, Operand } from "./onnx-graph.js";

/** Shape and type of an intermediate result. */
type Like = Pick<Operand, "shape" | "dtype">;

// SELU's constants as in tfjs-core (selu_util.ts).
const SELU_SCALE_ALPHA = 1.7580993408473768;
const SELU_SCALE = 1.0507009873554805;

/**
 * How each kernel of a plan is computed by ONNX operators (opset 17). The results are those of TensorFlow.js's cpu
 * kernels up to rounding; the kernel tests hold the two together.
 */
export const LOWERINGS: Readonly<Record<KernelName, Lowering>> = {
  AvgPool: averagePool,
  AvgPoolGrad: averagePoolBack,
  Conv2D: convolve(false),
  Conv2DBackpropFilter: convolveFilter(false),
  Conv2DBackpropInput: convolveBack(false),
  DepthwiseConv2dNative: convolve(true),
  DepthwiseConv2dNativeBackpropFilter: convolveFilter(true),
  DepthwiseConv2dNativeBackpropInput: convolveBack(true),
  FusedConv2D: convolve(false),
  FusedDepthwiseConv2D: convolve(true),
  MaxPool: maxPool,
  MaxPoolGrad: maxPoolBack,

  If: lowerIf,
  Loop: lowerLoop,

  Abs: same("Abs"),
  Acos: same("Acos"),
  Acosh: same("Acosh"),
  Asin: same("Asin"),
  Asinh: same("Asinh"),
  Atan: same("Atan"),
  Atanh: same("Atanh"),
  Ceil: same("Ceil"),
  ClipByValue: onX(({ graph, call }, x) =>
    graph.node(
      "Clip",
      [x, graph.scalar(call.number("clipValueMin")), graph.scalar(call.number("clipValueMax"))],
      x,
    ),
  ),
  Cos: same("Cos"),
  Cosh: same("Cosh"),
  Elu: same("Elu"),
  Erf: same("Erf"),
  Exp: same("Exp"),
  Expm1: onX(({ graph }, x) =>
    elementwise(graph, "Sub", graph.node("Exp", [x], x), graph.scalar(1), x),
  ),
  Floor: same("Floor"),
  Identity: onX((_, x) => x),
  LeakyRelu: onX(({ graph, call }, x) =>
    graph.node("LeakyRelu", [x], x, { alpha: { float: call.number("alpha") } }),
  ),
  Log: same("Log"),
  Log1p: onX(({ graph }, x) =>
    graph.node("Log", [elementwise(graph, "Add", x, graph.scalar(1), x)], x),
  ),
  LogicalNot: same("Not"),
  Neg: same("Neg"),
  OnesLike: ({ graph, outputs }) => graph.splat(outputs[0]!, 1),
  Reciprocal: same("Reciprocal"),
  Relu: same("Relu"),
  Relu6: onX(({ graph }, x) => graph.node("Clip", [x, graph.scalar(0), graph.scalar(6)], x)),
  Round: same("Round"),
  Rsqrt: onX(({ graph }, x) => graph.node("Reciprocal", [graph.node("Sqrt", [x], x)], x)),
  Selu: onX(({ graph }, x) =>
    graph.node("Selu", [x], x, {
      alpha: { float: SELU_SCALE_ALPHA / SELU_SCALE },
      gamma: { float: SELU_SCALE },
    }),
  ),
  Sigmoid: same("Sigmoid"),
  Sign: same("Sign"),
  Sin: same("Sin"),
  Sinh: same("Sinh"),
  Softplus: same("Softplus"),
  Sqrt: same("Sqrt"),
  Square: onX(({ graph }, x) => graph.node("Mul", [x, x], x)),
  Step: onX(({ graph, call }, x) => {
    const isPositive = graph.node("Greater", [x, graph.scalar(0)], { ...x, dtype: "bool" });
    const alpha = call.number("alpha");
    if (alpha === 0) return graph.cast(isPositive, "float32");
    return graph.node("Where", [isPositive, graph.scalar(1), graph.scalar(alpha)], x);
  }),
  Tan: same("Tan"),
  Tanh: same("Tanh"),
  ZerosLike: ({ graph, outputs }) => graph.splat(outputs[0]!, 0),

  IsFinite: onX(({ graph, outputs: [output] }, x) => {
    // Infinity minus infinity and anything with NaN are NaN.
    const difference = graph.node("Sub", [x, x], x);
    return graph.node("Not", [graph.node("IsNaN", [difference], output!)], output!);
  }),
  IsInf: same("IsInf"),
  IsNan: same("IsNaN"),
  Cast: ({ graph, inputs, outputs }) => graph.cast(inputs[0]!, outputs[0]!.dtype),

  Add: binary("Add", 0),
  FloorDiv: ({ graph, inputs: [a, b], outputs: [output] }) => {
    const wide = { shape: output!.shape, dtype: "float64" } as const;
    const quotient = graph.node(
      "Div",
      [graph.cast(a!, "float64"), graph.cast(b!, "float64")],
      wide,
    );
    return graph.cast(graph.node("Floor", [quotient], wide), "int32");
  },
  Maximum: binary("Max"),
  Minimum: binary("Min"),
  Multiply: binary("Mul", 1),
  Pow: binary("Pow"),
  RealDiv: binary("Div"),
  SquaredDifference: ({ graph, inputs: [a, b], outputs: [output] }) => {
    const difference = elementwise(graph, "Sub", a!, b!, output!);
    return graph.node("Mul", [difference, difference], output!);
  },
  Sub: binary("Sub"),
  EluGrad: ({ graph, inputs: [dy, y], outputs: [output] }) => {
    // dy where y >= 0, dy (y + 1) elsewhere: the factor is 1 + min(y, 0).
    const negative = graph.node("Min", [y!, graph.scalar(0)], y!);
    const factor = graph.node("Add", [negative, graph.scalar(1)], y!);
    return elementwise(graph, "Mul", dy!, factor, output!);
  },
  Prelu: ({ graph, inputs: [x, alpha], outputs: [output] }) =>
    graph.node("PRelu", [x!, alpha!], output!),
  AddN: ({ graph, inputs, outputs: [output] }) =>
    inputs
      .map((input) => input!)
      .reduce((sum, input) => elementwise(graph, "Add", sum, input, output!)),

  Equal: binary("Equal"),
  Greater: binary("Greater"),
  GreaterEqual: binary("GreaterOrEqual"),
  Less: binary("Less"),
  LessEqual: binary("LessOrEqual"),
  LogicalAnd: binary("And"),
  LogicalOr: binary("Or"),
  NotEqual: ({ graph, inputs: [a, b], outputs: [output] }) =>
    graph.node("Not", [elementwise(graph, "Equal", a!, b!, output!)], output!),
  Select: ({ graph, inputs: [condition, then, otherwise], outputs: [output] }) => {
    // onnxruntime's Where has no bool.
    const type = output!.dtype === "bool" ? "int32" : output!.dtype;
    const [first, second] = [then!, otherwise!].map((x) => graph.smallest(graph.cast(x, type)));
    const chosen = { shape: output!.shape, dtype: type };
    return graph.cast(graph.node("Where", [condition!, first!, second!], chosen), output!.dtype);
  },

  All: onBooleans("ReduceMin"),
  Any: onBooleans("ReduceMax"),
  Max: reduction("ReduceMax", "reductionIndices"),
  Mean: reduction("ReduceMean"),
  Min: reduction("ReduceMin"),
  Prod: reduction("ReduceProd"),
  Sum: ({ graph, call, inputs: [x], outputs: [output] }) => {
    const numbers = graph.cast(x!, output!.dtype);
    const axes = call.axes("axis", x!.shape.length);
    if (axes.length === 0) return numbers;
    const keepdims = call.flag("keepDims") ? 1 : 0;
    return graph.node("ReduceSum", [numbers, graph.list(axes)], output!, { keepdims });
  },
  ArgMax: argument("ArgMax"),
  ArgMin: argument("ArgMin"),
  Cumsum: onX(({ graph, call }, x) =>
    graph.node("CumSum", [x, graph.scalar(call.axis("axis", x.shape.length), "int64")], x, {
      exclusive: call.flag("exclusive") ? 1 : 0,
      reverse: call.flag("reverse") ? 1 : 0,
    }),
  ),
  Softmax: same("Softmax"),
  FusedBatchNorm: batchNorm,

  BatchMatMul: (lowered) => matMul(lowered),
  _FusedMatMul: (lowered) =>
    activated(lowered.graph, lowered.call, matMul(lowered, lowered.inputs[2] ?? null)),

  Concat: ({ graph, call, inputs, outputs: [output] }) =>
    graph.node("Concat", inputs, output!, { axis: call.axis("axis", output!.shape.length) }),
  ExpandDims: reshape,
  Fill: ({ graph, call, outputs: [output] }) => graph.splat(output!, call.number("value")),
  GatherV2: ({ graph, call, inputs: [x, indices], outputs: [output] }) =>
    graph.node("Gather", [x!, indices!], output!, { axis: call.axis("axis", x!.shape.length) }),
  OneHot: ({ graph, call, inputs: [indices], outputs: [output] }) => {
    // The comparison rather than OneHot: that takes a negative index from the end, TensorFlow.js as none.
    const { shape, dtype } = output!;
    const classes = graph.constant(
      { shape: [shape.at(-1)!], dtype: "int32" },
      Int32Array.from({ length: shape.at(-1)! }, (_, index) => index),
    );
    const column = graph.reshape(indices!, [...indices!.shape, 1]);
    const isHot = graph.node("Equal", [column, classes], { shape, dtype: "bool" });
    const [on, off] = [call.number("onValue"), call.number("offValue")];
    const number = dtype === "bool" ? "int32" : dtype;
    const values = graph.node(
      "Where",
      [isHot, graph.scalar(on, number), graph.scalar(off, number)],
      {
        shape,
        dtype: number,
      },
    );
    return graph.cast(values, dtype);
  },
  Pack: ({ graph, call, inputs, outputs: [output] }) => {
    const axis = call.axis("axis", output!.shape.length);
    const { shape, dtype } = output!;
    if (axis === 0 && shape.length > 1) {
      // One after the other, the parts need no axis of their own.
      const rows = { shape: [shape[0]! * shape[1]!, ...shape.slice(2)], dtype };
      return graph.reshape(graph.node("Concat", inputs, rows, { axis }), shape);
    }
    const part = shape.map((extent, index) => (index === axis ? 1 : extent));
    const parts = inputs.map((input) => graph.reshape(input!, part));
    return graph.node("Concat", parts, output!, { axis });
  },
  PadV2: ({ graph, call, inputs: [x], outputs: [output] }) => {
    const pairs = call.pairs("paddings");
    const pads = [...pairs.map(([before]) => before), ...pairs.map(([, after]) => after)];
    const value = graph.scalar(call.number("constantValue"), x!.dtype);
    return graph.node("Pad", [x!, graph.list(pads), value], output!);
  },
  Reshape: reshape,
  Reverse: onX(({ graph, call }, x) => {
    const axes = call.axes("dims", x.shape.length);
    if (axes.length === 0) return x;
    return slice(graph, x, x, {
      begin: axes.map(() => -1),
      // Past the first element, counted from the end.
      end: axes.map((axis) => -x.shape[axis]! - 1),
      axes,
      step: -1,
    });
  }),
  Slice: ({ graph, call, inputs: [x], outputs: [output] }) => {
    const { begin, size } = sliceBounds(call);
    const end = begin.map((start, axis) => start + size[axis]!);
    if (begin.length === 0) return x!;
    return slice(graph, x!, output!, { begin, end, axes: begin.map((_, axis) => axis), step: 1 });
  },
  SplitV: ({ graph, call, inputs: [x], outputs }) => {
    const axis = call.axis("axis", x!.shape.length);
    const sizes = splitSizes(call, x!.shape[axis]!);
    return graph.nodes("Split", [x!, graph.list(sizes)], outputs, { axis });
  },
  Tile: ({ graph, call, inputs: [x], outputs: [output] }) => {
    const repetitions = call.integers("reps");
    const isSpread = repetitions.every((count, axis) => count === 1 || x!.shape[axis] === 1);
    if (isSpread) return graph.expand(x!, output!.shape);
    return graph.node("Tile", [x!, graph.list(repetitions)], output!);
  },
  Transpose: ({ graph, call, inputs: [x] }) => {
    const perm = call.integers("perm").map((axis) => (axis < 0 ? axis + x!.shape.length : axis));
    return graph.transpose(x!, perm);
  },
  Unpack: ({ graph, call, inputs: [x], outputs }) => {
    const axis = call.axis("axis", x!.shape.length);
    if (axis === 0 && x!.shape.length > 1) {
      const [count, rows, ...rest] = x!.shape;
      const whole = graph.reshape(x!, [count! * rows!, ...rest]);
      return graph.nodes("Split", [whole, graph.list(outputs.map(() => rows!))], outputs, { axis });
    }
    const shape = x!.shape.map((extent, index) => (index === axis ? 1 : extent));
    const parts = graph.nodes(
      "Split",
      [x!, graph.list(outputs.map(() => 1))],
      outputs.map(({ dtype }) => ({ shape, dtype })),
      { axis },
    );
    return parts.map((part, index) => graph.reshape(part, outputs[index]!.shape));
  },
  UnsortedSegmentSum: ({ graph, inputs: [x, ids], outputs: [output] }) => {
    // Rows with an id out of range count nowhere: they go to one more segment, which is cut off.
    const { shape, dtype } = output!;
    const count = shape[0]!;
    const flag = { shape: ids!.shape, dtype: "bool" } as const;
    const isNegative = graph.node("Less", [ids!, graph.scalar(0, "int32")], flag);
    const spare = graph.scalar(count, "int32");
    const known = graph.node(
      "Where",
      [isNegative, spare, graph.node("Min", [ids!, spare], ids!)],
      ids!,
    );
    const indices = graph.reshape(graph.cast(known, "int64"), [...ids!.shape, 1]);
    const all = { shape: [count + 1, ...shape.slice(1)], dtype };
    const zeros = graph.splat(all, 0);
    const sums = graph.node("ScatterND", [zeros, indices, x!], all, { reduction: "add" });
    return slice(graph, sums, output!, { begin: [0], end: [count], axes: [0], step: 1 });
  },
};

/** A kernel that is one operator of the same inputs, without attributes. */
function same(operator: string): Lowering {
  return ({ graph, inputs, outputs }) => graph.node(operator, inputs, outputs[0]!);
}

function onX(lower: (lowered: Lowered, x: Operand) => Operand): Lowering {
  return (lowered) => lower(lowered, lowered.inputs[0]!);
}

/** A kernel of two broadcast inputs; `neutral` is the value that either input may have without effect. */
function binary(operator: string, neutral?: number): Lowering {
  return ({ graph, inputs: [a, b], outputs: [output] }) => {
    if (neutral !== undefined && a!.splat === neutral) return graph.expand(b!, output!.shape);
    if (neutral !== undefined && b!.splat === neutral) return graph.expand(a!, output!.shape);
    return elementwise(graph, operator, a!, b!, output!);
  };
}

/** Of operands that broadcast the small forms are used, and the result is spread only where it must. */
function elementwise(
  graph: OnnxGraph,
  operator: string,
  a: Operand,
  b: Operand,
  { shape, dtype }: Like,
): Operand {
  const [first, second] = [graph.smallest(a), graph.smallest(b)];
  const small = broadcastShape(first.shape, second.shape);
  const rows = Math.max(rowsToMerge(first.shape, small), rowsToMerge(second.shape, small));
  if (rows === 1) {
    return graph.expand(graph.node(operator, [first, second], { shape: small, dtype }), shape);
  }
  const [width, wide] = [small.at(-1)!, mergedShape(small, rows)];
  const merged = [first, second].map((operand) =>
    elementCount(operand.shape) === width
      ? graph.reshape(graph.expand(graph.reshape(operand, [1, width]), [rows, width]), [
          rows * width,
        ])
      : graph.reshape(operand, wide),
  );
  const result = graph.node(operator, merged, { shape: wide, dtype });
  return graph.expand(graph.reshape(result, small), shape);
}

/** Below this, onnxruntime's inner loop over a row that broadcasts is short enough to be slow (five times, at 6). */
const WIDE_ROW = 64;

/** How many rows of a shape to see as one, so that a short row that broadcasts to it becomes a long one; 1 for none. */
function rowsToMerge(row: readonly number[], shape: readonly number[]): number {
  const width = shape.at(-1) ?? 1;
  const isRow = row.at(-1) === width && elementCount(row) === width && width > 1;
  if (!isRow || width >= WIDE_ROW || elementCount(shape) === width) return 1;
  let rows = 1;
  for (let axis = shape.length - 2; axis > 0 && rows * width < WIDE_ROW; axis--) {
    rows *= shape[axis]!;
  }
  return rows;
}

function mergedShape(shape: readonly number[], rows: number): readonly number[] {
  let axis = shape.length - 1;
  for (let merged = 1; merged < rows;) merged *= shape[--axis]!;
  return [...shape.slice(0, axis), rows * shape.at(-1)!];
}

function broadcastShape(a: readonly number[], b: readonly number[]): readonly number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) =>
    Math.max(a[axis - rank + a.length] ?? 1, b[axis - rank + b.length] ?? 1),
  );
}

function reduction(operator: string, attribute: "axis" | "reductionIndices" = "axis"): Lowering {
  return ({ graph, call, inputs: [x], outputs: [output] }) => {
    const axes = call.axes(attribute, x!.shape.length);
    const numbers = graph.cast(x!, output!.dtype);
    if (axes.length === 0) return numbers;
    return graph.node(operator, [numbers], output!, reductionAttributes(call, axes));
  };
}

/** Statistics and scales per channel, which is the last axis: one operator. Others broadcast. */
function batchNorm({ graph, call, inputs, outputs: [output] }: Lowered): Operand {
  const [x, mean, variance, offset, scale] = inputs;
  const { shape } = x!;
  const epsilon = call.number("varianceEpsilon");
  const perChannel = { shape: [shape.at(-1)!], dtype: "float32" } as const;
  const statistics = [
    scale ?? graph.splat(perChannel, 1),
    offset ?? graph.splat(perChannel, 0),
    mean!,
    variance!,
  ];
  if (shape.length === 4 && statistics.every((operand) => operand.shape.length === 1)) {
    const first = graph.transpose(x!, [0, 3, 1, 2]);
    const normal = graph.node("BatchNormalization", [first, ...statistics], first, {
      epsilon: { float: epsilon },
    });
    return graph.transpose(normal, [0, 2, 3, 1]);
  }
  const apply = (operator: string, a: Operand, b: Operand): Operand =>
    elementwise(graph, operator, a, b, {
      shape: broadcastShape(a.shape, b.shape),
      dtype: "float32",
    });
  const deviation = graph.node("Sqrt", [apply("Add", variance!, graph.scalar(epsilon))], variance!);
  const normal = apply("Div", apply("Sub", x!, mean!), deviation);
  const scaled = scale ? apply("Mul", normal, scale) : normal;
  return graph.expand(offset ? apply("Add", scaled, offset) : scaled, output!.shape);
}

/** Reductions of booleans go over int32: onnxruntime has none of bool. */
function onBooleans(operator: string): Lowering {
  return ({ graph, call, inputs: [x], outputs: [output] }) => {
    const axes = call.axes("axis", x!.shape.length);
    if (axes.length === 0) return x!;
    const numbers = graph.cast(x!, "int32");
    const attributes = reductionAttributes(call, axes);
    const reduced = graph.node(operator, [numbers], { ...output!, dtype: "int32" }, attributes);
    return graph.cast(reduced, "bool");
  };
}

function reductionAttributes(
  call: KernelCall,
  axes: readonly number[],
): Record<string, OnnxAttribute> {
  return { axes, keepdims: call.flag("keepDims") ? 1 : 0 };
}

function argument(operator: string): Lowering {
  return ({ graph, call, inputs: [x], outputs: [output] }) => {
    const axis = call.axis("axis", x!.shape.length);
    const { shape } = output!;
    const index = graph.node(operator, [x!], { shape, dtype: "int64" }, { axis, keepdims: 0 });
    return graph.cast(index, "int32");
  };
}

function reshape({ graph, inputs: [x], outputs: [output] }: Lowered): Operand {
  return graph.reshape(x!, output!.shape);
}

function slice(
  graph: OnnxGraph,
  x: Operand,
  output: Like,
  part: {
    readonly begin: readonly number[];
    readonly end: readonly number[];
    readonly axes: readonly number[];
    readonly step: number;
  },
): Operand {
  const lists = [part.begin, part.end, part.axes, part.axes.map(() => part.step)];
  return graph.node("Slice", [x, ...lists.map((values) => graph.list(values))], output);
}

/** A product of matrices: one Gemm where there is one matrix on each side, MatMul over the rest. */
function matMul(
  { graph, call, inputs: [a, b], outputs: [output] }: Lowered,
  bias: Operand | null = null,
): Operand {
  const [transA, transB] = [call.flag("transposeA"), call.flag("transposeB")];
  const { shape, dtype } = output!;
  const isSingle = [a!, b!].every((input) => elementCount(input.shape.slice(0, -2)) === 1);
  if (isSingle && (bias === null || bias.shape.length <= 2)) {
    const [first, second] = [a!, b!].map((input) => graph.reshape(input, input.shape.slice(-2)));
    const product = graph.node(
      "Gemm",
      bias === null ? [first!, second!] : [first!, second!, bias],
      { shape: shape.slice(-2), dtype },
      { transA: transA ? 1 : 0, transB: transB ? 1 : 0 },
    );
    return graph.reshape(product, shape);
  }
  const first = transA ? transposed(graph, a!) : a!;
  const second = transB ? transposed(graph, b!) : b!;
  const product = graph.node("MatMul", [first, second], output!);
  return bias === null ? product : elementwise(graph, "Add", product, bias, output!);
}

function transposed(graph: OnnxGraph, operand: Operand): Operand {
  const rank = operand.shape.length;
  return graph.transpose(
    operand,
    [...operand.shape.keys()].slice(0, -2).concat(rank - 1, rank - 2),
  );
}

import type { PlanDType, PlanValue } from "@psgd/core";
import { ACTIVATION_ATTRIBUTES, fusedActivation } from "./fused-activation.js";
import { CONTROL_KERNELS } from "./control-kernels.js";
import { IMAGE_KERNELS } from "./image-kernels.js";
import { elementCount, sameShape, type KernelCall } from "./kernel-call.js";
import type { KernelSignature } from "./kernel-signature.js";

const FLOAT: readonly PlanDType[] = ["float32"];
const NUMERIC: readonly PlanDType[] = ["float32", "int32"];
const BOOL: readonly PlanDType[] = ["bool"];
/** Outputs of one kernel call; a bound, so that a hostile plan cannot ask for a list without end. */
const MOST_PARTS = 4096;
const ANY: readonly PlanDType[] = ["float32", "int32", "bool"];

/**
 * The white list: every kernel a plan may use. To add one, describe it here and add its lowering
 * (`engines/onnx/lowerings.ts`); the compiler and the kernel tests ask for the rest.
 */
export const KERNELS = {
  ...CONTROL_KERNELS,
  ...IMAGE_KERNELS,
  Abs: unary(NUMERIC),
  Acos: unary(FLOAT),
  Acosh: unary(FLOAT),
  Asin: unary(FLOAT),
  Asinh: unary(FLOAT),
  Atan: unary(FLOAT),
  Atanh: unary(FLOAT),
  Ceil: unary(FLOAT),
  ClipByValue: unary(FLOAT, ["clipValueMin", "clipValueMax"], (call) => {
    const [low, high] = [call.number("clipValueMin"), call.number("clipValueMax")];
    if (low > high) call.refuse(`expected a range, got ${low} to ${high}`);
  }),
  Cos: unary(FLOAT),
  Cosh: unary(FLOAT),
  Elu: unary(FLOAT),
  Erf: unary(FLOAT),
  Exp: unary(FLOAT),
  Expm1: unary(FLOAT),
  Floor: unary(FLOAT),
  Identity: unary(ANY),
  LeakyRelu: unary(FLOAT, ["alpha"], (call) => call.number("alpha")),
  Log: unary(FLOAT),
  Log1p: unary(FLOAT),
  LogicalNot: unary(BOOL),
  Neg: unary(NUMERIC),
  OnesLike: unary(ANY),
  Reciprocal: unary(FLOAT),
  Relu: unary(FLOAT),
  Relu6: unary(FLOAT),
  Round: unary(FLOAT),
  Rsqrt: unary(FLOAT),
  Selu: unary(FLOAT),
  Sigmoid: unary(FLOAT),
  Sign: unary(FLOAT),
  Sin: unary(FLOAT),
  Sinh: unary(FLOAT),
  Softplus: unary(FLOAT),
  Sqrt: unary(FLOAT),
  Square: unary(NUMERIC),
  Step: unary(FLOAT, ["alpha"], (call) => call.number("alpha")),
  Tan: unary(FLOAT),
  Tanh: unary(FLOAT),
  ZerosLike: unary(ANY),

  IsFinite: test(),
  IsInf: test(),
  IsNan: test(),
  Cast: {
    inputs: ["x"],
    attributes: ["dtype"],
    infer: (call) => [{ shape: call.input(0).shape, dtype: call.oneOf("dtype", ANY) }],
  },

  Add: binary(NUMERIC),
  FloorDiv: binary(["int32"]),
  Maximum: binary(NUMERIC),
  Minimum: binary(NUMERIC),
  Multiply: binary(NUMERIC),
  Pow: binary(FLOAT),
  RealDiv: binary(FLOAT),
  SquaredDifference: binary(NUMERIC),
  Sub: binary(NUMERIC),
  EluGrad: { ...binary(FLOAT), inputs: ["dy", "y"] },
  Prelu: {
    ...binary(FLOAT),
    inputs: ["x", "alpha"],
    infer: (call) => {
      const [x, alpha] = [call.input(0, FLOAT), call.input(1, FLOAT)];
      if (!sameShape(broadcast(call, x.shape, alpha.shape), x.shape)) {
        call.refuse(`expected alpha to broadcast to [${x.shape.join()}]`);
      }
      return [x];
    },
  },
  AddN: {
    inputs: "list",
    attributes: [],
    infer: (call) => {
      const first = call.input(0, NUMERIC);
      call.inputs.forEach((_, index) => requireSame(call, first, call.input(index)));
      return [first];
    },
  },

  Equal: comparison(ANY),
  Greater: comparison(NUMERIC),
  GreaterEqual: comparison(NUMERIC),
  Less: comparison(NUMERIC),
  LessEqual: comparison(NUMERIC),
  LogicalAnd: comparison(BOOL),
  LogicalOr: comparison(BOOL),
  NotEqual: comparison(ANY),
  Select: {
    inputs: ["condition", "t", "e"],
    attributes: [],
    infer: (call) => {
      const [condition, then] = [call.input(0, BOOL), call.input(1, ANY)];
      requireSame(call, then, call.input(2));
      // A scalar condition is legal in TensorFlow.js but its cpu kernel then reads one element only.
      requireSame(call, { shape: then.shape, dtype: "bool" }, condition);
      return [then];
    },
  },

  FusedBatchNorm: {
    inputs: ["x", "mean", "variance", "offset?", "scale?"],
    attributes: ["varianceEpsilon"],
    infer: (call) => {
      const x = call.input(0, FLOAT);
      call.number("varianceEpsilon");
      for (const [index, value] of call.inputs.entries()) {
        if (value === null) continue;
        const { shape } = call.input(index, FLOAT);
        if (!sameShape(broadcast(call, x.shape, shape), x.shape)) {
          call.refuse(
            `expected input ${index} to broadcast to [${x.shape.join()}], got [${shape.join()}]`,
          );
        }
      }
      return [x];
    },
  },

  All: reduction(BOOL, "axis"),
  Any: reduction(BOOL, "axis"),
  Max: reduction(NUMERIC, "reductionIndices"),
  Mean: {
    ...reduction(ANY, "axis"),
    infer: (call) => [{ shape: reducedShape(call, call.input(0).shape), dtype: "float32" }],
  },
  Min: reduction(NUMERIC, "axis"),
  Prod: reduction(NUMERIC, "axis"),
  Sum: {
    ...reduction(ANY, "axis"),
    infer: (call) => {
      const { shape, dtype } = call.input(0);
      return [{ shape: reducedShape(call, shape), dtype: dtype === "bool" ? "int32" : dtype }];
    },
  },
  ArgMax: argument(),
  ArgMin: argument(),
  Cumsum: {
    inputs: ["x"],
    attributes: ["axis", "exclusive", "reverse"],
    infer: (call) => {
      const x = call.input(0, NUMERIC);
      call.axis("axis", x.shape.length);
      call.flag("exclusive");
      call.flag("reverse");
      return [x];
    },
  },
  Softmax: {
    inputs: ["logits"],
    attributes: ["dim"],
    infer: (call) => {
      const logits = call.input(0, FLOAT);
      const last = logits.shape.length - 1;
      if (call.axis("dim", logits.shape.length) !== last) {
        call.refuse(`expected the last axis ${last}, got ${call.integer("dim")}`);
      }
      return [logits];
    },
  },

  BatchMatMul: {
    inputs: ["a", "b"],
    attributes: ["transposeA", "transposeB"],
    infer: (call) => [{ shape: matMulShape(call), dtype: "float32" }],
  },
  _FusedMatMul: {
    inputs: ["a", "b", "bias?", "preluActivationWeights?"],
    attributes: ["transposeA", "transposeB", ...ACTIVATION_ATTRIBUTES],
    infer: (call) => {
      const shape = matMulShape(call);
      if (call.inputs[2]) {
        const bias = call.input(2, FLOAT);
        if (!sameShape(broadcast(call, shape, bias.shape), shape)) {
          call.refuse(`expected a bias that broadcasts to [${shape.join()}]`);
        }
      }
      if (call.inputs[3]) call.refuse("expected no fused PReLU; use a layer of its own");
      fusedActivation(call);
      return [{ shape, dtype: "float32" }];
    },
  },

  Concat: {
    inputs: "list",
    attributes: ["axis"],
    infer: (call) => {
      const { shape, dtype } = call.input(0, ANY);
      const axis = call.axis("axis", shape.length);
      let extent = 0;
      call.inputs.forEach((_, index) => {
        const part = call.input(index);
        requireSame(
          call,
          { shape: replaced(part.shape, axis, shape[axis]!), dtype },
          {
            shape,
            dtype: part.dtype,
          },
        );
        extent += part.shape[axis]!;
      });
      return [{ shape: replaced(shape, axis, extent), dtype }];
    },
  },
  ExpandDims: {
    inputs: ["input"],
    attributes: ["dim"],
    infer: (call) => {
      const { shape, dtype } = call.input(0, ANY);
      const axis = call.axis("dim", shape.length + 1);
      return [{ shape: inserted(shape, axis, 1), dtype }];
    },
  },
  Fill: {
    inputs: [],
    attributes: ["shape", "value", "dtype"],
    infer: (call) => {
      call.number("value");
      return [{ shape: call.integers("shape"), dtype: call.oneOf("dtype", ANY) }];
    },
  },
  GatherV2: {
    inputs: ["x", "indices"],
    attributes: ["axis", "batchDims"],
    infer: (call) => {
      const [x, indices] = [call.input(0, ANY), call.input(1, ["int32"])];
      const axis = call.axis("axis", x.shape.length);
      if (call.has("batchDims") && call.integer("batchDims") !== 0) {
        call.refuse("expected no batch dimensions");
      }
      const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
      return [{ shape, dtype: x.dtype }];
    },
  },
  OneHot: {
    inputs: ["indices"],
    attributes: ["depth", "onValue", "offValue", "dtype"],
    infer: (call) => {
      const indices = call.input(0, ["int32"]);
      call.number("onValue");
      call.number("offValue");
      const shape = [...indices.shape, call.integer("depth")];
      return [{ shape, dtype: call.oneOf("dtype", ANY) }];
    },
  },
  Pack: {
    inputs: "list",
    attributes: ["axis"],
    infer: (call) => {
      const first = call.input(0, ANY);
      call.inputs.forEach((_, index) => requireSame(call, first, call.input(index)));
      const axis = call.axis("axis", first.shape.length + 1);
      return [{ shape: inserted(first.shape, axis, call.inputs.length), dtype: first.dtype }];
    },
  },
  PadV2: {
    inputs: ["x"],
    attributes: ["paddings", "constantValue"],
    infer: (call) => {
      const x = call.input(0, NUMERIC);
      const paddings = call.pairs("paddings");
      call.number("constantValue");
      if (paddings.length !== x.shape.length || paddings.some((pair) => pair.some((p) => p < 0))) {
        call.refuse(`expected ${x.shape.length} pairs of counts, got ${JSON.stringify(paddings)}`);
      }
      const shape = x.shape.map((extent, axis) => {
        const [before, after] = paddings[axis]!;
        return before + extent + after;
      });
      return [{ shape, dtype: x.dtype }];
    },
  },
  Reshape: {
    inputs: ["x"],
    attributes: ["shape"],
    infer: (call) => {
      const x = call.input(0, ANY);
      const wanted = call.integers("shape");
      const known = elementCount(wanted.filter((extent) => extent !== -1));
      const shape = wanted.map((extent) =>
        extent === -1 ? elementCount(x.shape) / known : extent,
      );
      if (elementCount(shape) !== elementCount(x.shape)) {
        call.refuse(`expected a shape of ${elementCount(x.shape)} values, got [${wanted.join()}]`);
      }
      return [{ shape, dtype: x.dtype }];
    },
  },
  Reverse: {
    inputs: ["x"],
    attributes: ["dims"],
    infer: (call) => {
      const x = call.input(0, NUMERIC);
      call.axes("dims", x.shape.length);
      return [x];
    },
  },
  Slice: {
    inputs: ["x"],
    attributes: ["begin", "size"],
    infer: (call) => [{ shape: sliceBounds(call).size, dtype: call.input(0, ANY).dtype }],
  },
  SplitV: {
    inputs: ["x"],
    attributes: ["numOrSizeSplits", "axis"],
    infer: (call) => {
      const { shape, dtype } = call.input(0, ANY);
      const axis = call.axis("axis", shape.length);
      return splitSizes(call, shape[axis]!).map((size) => ({
        shape: replaced(shape, axis, size),
        dtype,
      }));
    },
  },
  Tile: {
    inputs: ["x"],
    attributes: ["reps"],
    infer: (call) => {
      const { shape, dtype } = call.input(0, ANY);
      const repetitions = call.integers("reps");
      if (repetitions.length !== shape.length) {
        call.refuse(`expected ${shape.length} repetitions, got ${repetitions.length}`);
      }
      return [{ shape: shape.map((extent, axis) => extent * repetitions[axis]!), dtype }];
    },
  },
  Transpose: {
    inputs: ["x"],
    attributes: ["perm"],
    infer: (call) => {
      const { shape, dtype } = call.input(0, ANY);
      const order = call.integers("perm");
      if (call.axes("perm", shape.length).length !== shape.length) {
        call.refuse(`expected a permutation of ${shape.length} axes, got [${order.join()}]`);
      }
      return [{ shape: order.map((axis) => shape[axis]!), dtype }];
    },
  },
  Unpack: {
    inputs: ["value"],
    attributes: ["axis"],
    infer: (call) => {
      const { shape, dtype } = call.input(0, ANY);
      const axis = call.axis("axis", shape.length);
      requirePartCount(call, shape[axis]!);
      const part = { shape: shape.filter((_, index) => index !== axis), dtype };
      return Array.from({ length: shape[axis]! }, () => part);
    },
  },
  UnsortedSegmentSum: {
    inputs: ["x", "segmentIds"],
    attributes: ["numSegments"],
    infer: (call) => {
      const [x, ids] = [call.input(0, FLOAT), call.input(1, ["int32"])];
      // The cpu kernel of TensorFlow.js sums over the first axis only.
      if (ids.shape.length !== 1 || ids.shape[0] !== x.shape[0]) {
        call.refuse(`expected one id per row of [${x.shape.join()}], got [${ids.shape.join()}]`);
      }
      return [{ shape: replaced(x.shape, 0, call.integer("numSegments")), dtype: x.dtype }];
    },
  },
} as const satisfies Record<string, KernelSignature>;

export type KernelName = keyof typeof KERNELS;

/** The signature of a kernel, if it is on the white list. */
export function kernelSignature(kernel: string): KernelSignature | undefined {
  return Object.hasOwn(KERNELS, kernel) ? KERNELS[kernel as KernelName] : undefined;
}

/** Where a Slice starts and what it takes, per axis: missing ends and a size of -1 mean the rest. */
export function sliceBounds(call: KernelCall): {
  readonly begin: readonly number[];
  readonly size: readonly number[];
} {
  const { shape } = call.input(0);
  const [begins, sizes] = [call.integers("begin"), call.integers("size")];
  const begin = shape.map((_, axis) => begins[axis] ?? 0);
  const size = shape.map((extent, axis) => {
    const wanted = sizes[axis] ?? -1;
    return wanted === -1 ? extent - begin[axis]! : wanted;
  });
  const isInside = shape.every(
    (extent, axis) => begin[axis]! >= 0 && size[axis]! > 0 && begin[axis]! + size[axis]! <= extent,
  );
  if (!isInside || begins.length > shape.length || sizes.length > shape.length) {
    call.refuse(
      `expected a part of [${shape.join()}], got [${sizes.join()}] from [${begins.join()}]`,
    );
  }
  return { begin, size };
}

/** The parts of a SplitV: a number means equal parts, one size may be -1 for the rest. */
export function splitSizes(call: KernelCall, extent: number): readonly number[] {
  const wanted = call.integers("numOrSizeSplits");
  const count = call.isList("numOrSizeSplits") ? wanted.length : wanted[0]!;
  requirePartCount(call, count);
  const rest = extent - wanted.reduce((sum, size) => sum + (size === -1 ? 0 : size), 0);
  const sizes = call.isList("numOrSizeSplits")
    ? wanted.map((size) => (size === -1 ? rest : size))
    : Array.from({ length: count }, () => extent / count);
  const isWhole = sizes.every((size) => Number.isSafeInteger(size) && size > 0);
  if (!isWhole || sizes.reduce((sum, size) => sum + size, 0) !== extent) {
    call.refuse(`expected parts that add up to ${extent}, got [${wanted.join()}]`);
  }
  return sizes;
}

function unary(
  dtypes: readonly PlanDType[],
  attributes: readonly string[] = [],
  check: (call: KernelCall) => void = () => {},
): KernelSignature {
  return {
    inputs: ["x"],
    attributes,
    infer: (call) => {
      check(call);
      return [call.input(0, dtypes)];
    },
  };
}

function test(): KernelSignature {
  return {
    inputs: ["x"],
    attributes: [],
    infer: (call) => [{ shape: call.input(0, FLOAT).shape, dtype: "bool" }],
  };
}

function binary(dtypes: readonly PlanDType[]): KernelSignature {
  return {
    inputs: ["a", "b"],
    attributes: [],
    infer: (call) => {
      const [a, b] = [call.input(0, dtypes), call.input(1, dtypes)];
      if (a.dtype !== b.dtype) call.refuse(`expected equal types, got ${a.dtype} and ${b.dtype}`);
      return [{ shape: broadcast(call, a.shape, b.shape), dtype: a.dtype }];
    },
  };
}

function comparison(dtypes: readonly PlanDType[]): KernelSignature {
  const { inputs, attributes, infer } = binary(dtypes);
  return {
    inputs,
    attributes,
    infer: (call) => infer(call).map(({ shape }) => ({ shape, dtype: "bool" })),
  };
}

function reduction(
  dtypes: readonly PlanDType[],
  axes: "axis" | "reductionIndices",
): KernelSignature {
  return {
    inputs: ["x"],
    attributes: [axes, "keepDims"],
    infer: (call) => {
      const { shape, dtype } = call.input(0, dtypes);
      return [{ shape: reducedShape(call, shape, axes), dtype }];
    },
  };
}

function argument(): KernelSignature {
  return {
    inputs: ["x"],
    attributes: ["axis"],
    infer: (call) => {
      const { shape } = call.input(0, NUMERIC);
      const axis = call.axis("axis", shape.length);
      return [{ shape: shape.filter((_, index) => index !== axis), dtype: "int32" }];
    },
  };
}

function reducedShape(
  call: KernelCall,
  shape: readonly number[],
  attribute: "axis" | "reductionIndices" = "axis",
): readonly number[] {
  const axes = call.axes(attribute, shape.length);
  return call.flag("keepDims")
    ? shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent))
    : shape.filter((_, axis) => !axes.includes(axis));
}

function matMulShape(call: KernelCall): readonly number[] {
  const [a, b] = [call.input(0, FLOAT).shape, call.input(1, FLOAT).shape];
  if (a.length < 2 || b.length < 2) {
    call.refuse(`expected matrices, got [${a.join()}] and [${b.join()}]`);
  }
  const [rows, inner] = oriented(a, call.flag("transposeA"));
  const [innerOfB, columns] = oriented(b, call.flag("transposeB"));
  if (inner !== innerOfB) {
    call.refuse(`expected matching inner sizes, got ${inner} and ${innerOfB}`);
  }
  return [...broadcast(call, a.slice(0, -2), b.slice(0, -2)), rows, columns];
}

function requirePartCount(call: KernelCall, count: number): void {
  if (count < 1 || count > MOST_PARTS) {
    call.refuse(`expected 1 to ${MOST_PARTS} parts, got ${count}`);
  }
}

function oriented(shape: readonly number[], isTransposed: boolean): [number, number] {
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  return isTransposed ? [columns, rows] : [rows, columns];
}

function broadcast(call: KernelCall, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const [ofA, ofB] = [a[axis - rank + a.length] ?? 1, b[axis - rank + b.length] ?? 1];
    if (ofA !== ofB && ofA !== 1 && ofB !== 1) {
      call.refuse(`expected shapes that broadcast, got [${a.join()}] and [${b.join()}]`);
    }
    return ofA === 1 ? ofB : ofA;
  });
}

function requireSame(call: KernelCall, expected: PlanValue, got: PlanValue): void {
  if (expected.dtype !== got.dtype || !sameShape(expected.shape, got.shape)) {
    call.refuse(
      `expected ${expected.dtype} [${expected.shape.join()}] in all inputs, ` +
        `got ${got.dtype} [${got.shape.join()}]`,
    );
  }
}

function replaced(shape: readonly number[], axis: number, extent: number): number[] {
  return shape.map((old, index) => (index === axis ? extent : old));
}

function inserted(shape: readonly number[], axis: number, extent: number): number[] {
  return [...shape.slice(0, axis), extent, ...shape.slice(axis)];
}

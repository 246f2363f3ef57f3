import type { PlanArray, PlanValue } from "@psgd/core";
import { sameShape } from "../../kernels/kernel-call.js";
import {
  modelProto,
  type OnnxAttribute,
  type OnnxDType,
  type OnnxGraphContent,
  type OnnxInitializer,
  type OnnxNode,
  type OnnxValue,
} from "./model-proto.js";

/** A tensor of a graph in the making. */
export interface Operand {
  readonly shape: readonly number[];
  readonly dtype: OnnxDType;
  /** Its name in the graph; none yet for one value everywhere, which becomes a tensor only where it must. */
  readonly name?: string;
  /** The value of all elements, where known. */
  readonly splat?: number;
  /** A smaller tensor that broadcasts to it, so that consumers which broadcast need no copy. */
  readonly spread?: Operand;
  /** What it is a reshape of, so that reshapes of reshapes collapse. */
  readonly reshapeOf?: Operand;
}

type Attributes = Readonly<Record<string, OnnxAttribute>>;

/** An ONNX graph in the making. */
export class OnnxGraph {
  readonly #nodes: OnnxNode[] = [];
  readonly #inputs: OnnxValue[] = [];
  readonly #outputs: OnnxValue[] = [];
  readonly #initializers = new Map<string, OnnxInitializer>();
  readonly #spread = new Map<string, Operand>();
  readonly #computed = new Set<string>();
  /** Names count on through the graphs within this one: ONNX knows no shadowing. */
  readonly #names: { count: number };
  /** Of small constants, which are named by what they hold. */
  readonly #suffix: string;

  /** An extent that is this, or else a multiple of it, stays open. */
  readonly #openBatch: number | undefined;
  /** The first input of the outermost graph, whose first extent is the batch. */
  #first: Operand | undefined;

  /** @param options.openBatch - a batch size that stands for any */
  constructor(options: { readonly parent?: OnnxGraph; readonly openBatch?: number } = {}) {
    const { parent } = options;
    this.#names = parent === undefined ? { count: 0 } : parent.#names;
    this.#suffix = parent === undefined ? "" : `@${this.#names.count++}`;
    this.#openBatch = parent === undefined ? options.openBatch : parent.#openBatch;
    this.#first = parent === undefined ? undefined : parent.#first;
  }

  input({ shape, dtype }: PlanValue, name = this.#newName()): Operand {
    this.#inputs.push({ name, shape: this.#opened(shape, "batch"), dtype });
    const operand = { name, shape, dtype };
    this.#first ??= operand;
    return operand;
  }

  constant({ shape, dtype }: PlanValue, data: PlanArray, name = this.#newName()): Operand {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return this.#initializer({ shape, dtype }, bytes, name);
  }

  splat({ shape, dtype }: PlanValue, value: number): Operand {
    return { shape, dtype, splat: value };
  }

  /** One number, which broadcasts. */
  scalar(value: number, dtype: OnnxDType = "float32"): Operand {
    return this.#small([value], dtype, []);
  }

  /** A list of numbers as an input, which some operators want instead of an attribute. */
  list(values: readonly number[]): Operand {
    return this.#small(values, "int64", [values.length]);
  }

  node(
    operator: string,
    inputs: readonly (Operand | null)[],
    output: { readonly shape: readonly number[]; readonly dtype: OnnxDType },
    attributes: Attributes = {},
  ): Operand {
    return this.nodes(operator, inputs, [output], attributes)[0]!;
  }

  nodes(
    operator: string,
    inputs: readonly (Operand | null)[],
    outputs: readonly { readonly shape: readonly number[]; readonly dtype: OnnxDType }[],
    attributes: Attributes = {},
  ): readonly Operand[] {
    const results = outputs.map(({ shape, dtype }) => ({ name: this.#newName(), shape, dtype }));
    this.#nodes.push({
      operator,
      inputs: inputs.map((input) => (input === null ? "" : this.#nameOf(input))),
      outputs: results.map(({ name }) => name),
      attributes,
    });
    for (const { name } of results) this.#computed.add(name);
    return results;
  }

  reshape(operand: Operand, shape: readonly number[]): Operand {
    if (sameShape(operand.shape, shape)) return operand;
    if (operand.splat !== undefined) return { shape, dtype: operand.dtype, splat: operand.splat };
    const root = operand.reshapeOf ?? operand;
    if (sameShape(root.shape, shape)) return root;
    const wanted = this.list(this.#opened(shape, -1));
    const reshaped = this.node("Reshape", [root, wanted], { shape, dtype: root.dtype });
    return { ...reshaped, reshapeOf: root };
  }

  transpose(operand: Operand, perm: readonly number[]): Operand {
    const shape = perm.map((axis) => operand.shape[axis]!);
    const { dtype, splat } = operand;
    if (splat !== undefined) return { shape, dtype, splat };
    return this.node("Transpose", [operand], { shape, dtype }, { perm });
  }

  cast(operand: Operand, dtype: OnnxDType): Operand {
    if (operand.dtype === dtype) return operand;
    if (operand.splat !== undefined && operand.dtype === "bool") {
      return { shape: operand.shape, dtype, splat: operand.splat };
    }
    const to = { float32: 1, int32: 6, int64: 7, bool: 9, float64: 11 }[dtype];
    return this.node("Cast", [operand], { shape: operand.shape, dtype }, { to });
  }

  /** Broadcasts to a shape; the copies are made only where they must. */
  expand(operand: Operand, shape: readonly number[]): Operand {
    if (sameShape(operand.shape, shape)) return operand;
    const { dtype, splat } = operand;
    if (splat !== undefined) return { shape, dtype, splat };
    return { shape, dtype, spread: operand.spread ?? operand };
  }

  /** What broadcasts to the operand and is as small as can be. */
  smallest(operand: Operand): Operand {
    if (operand.splat !== undefined) return this.scalar(operand.splat, operand.dtype);
    return operand.spread ?? operand;
  }

  /** Makes an operand an output of the graph under a name. */
  namedOutput(name: string, operand: Operand): void {
    const { shape, dtype } = operand;
    const inputs = [this.#nameOf(operand)];
    this.#nodes.push({ operator: "Identity", inputs, outputs: [name], attributes: {} });
    this.#outputs.push({ name, shape: this.#opened(shape, "batch"), dtype });
  }

  /** Makes an operand an output of the graph. @returns its name */
  output(operand: Operand): string {
    const named = operand.name ?? "";
    const isFree =
      this.#computed.has(named) && !this.#outputs.some((output) => output.name === named);
    const { name, shape, dtype } = isFree ? operand : this.node("Identity", [operand], operand);
    this.#outputs.push({ name: name!, shape: this.#opened(shape, "batch"), dtype });
    return name!;
  }

  /** The graph as an attribute of a node around it; without what no output needs, as onnxruntime would compute that too. */
  content(): OnnxGraphContent {
    const isLive = new Set(this.#outputs.map(({ name }) => name));
    const nodes: OnnxNode[] = [];
    for (const node of this.#nodes.toReversed()) {
      if (!node.outputs.some((name) => isLive.has(name))) continue;
      for (const name of usedBy(node)) isLive.add(name);
      nodes.push(node);
    }
    return {
      nodes: nodes.reverse(),
      inputs: this.#inputs,
      outputs: this.#outputs,
      initializers: [...this.#initializers.values()].filter(({ name }) => isLive.has(name)),
    };
  }

  /** The model as bytes. */
  toModel(): Uint8Array {
    return modelProto(this.content());
  }

  #nameOf(operand: Operand): string {
    if (operand.name !== undefined) return operand.name;
    const { shape, dtype } = operand;
    const small = this.smallest(operand);
    if (sameShape(small.shape, shape)) return small.name!;
    const key = `${small.name!}[${shape.join()}]`;
    let spread = this.#spread.get(key);
    if (spread === undefined) {
      spread = this.node("Expand", [small, this.#extents(shape)], { shape, dtype });
      this.#spread.set(key, spread);
    }
    return spread.name!;
  }

  #small(values: readonly number[], dtype: OnnxDType, shape: readonly number[]): Operand {
    const text = values.map((value) => (Object.is(value, -0) ? "-0" : String(value))).join();
    const name = `${dtype}[${shape.join()}]${text}${this.#suffix}`;
    const known = this.#initializers.get(name);
    if (known !== undefined) return { name, shape, dtype };
    return this.#initializer({ shape, dtype }, encode(values, dtype), name);
  }

  #initializer(
    value: { readonly shape: readonly number[]; readonly dtype: OnnxDType },
    bytes: Uint8Array,
    name: string,
  ): Operand {
    this.#initializers.set(name, { ...value, name, bytes });
    return { ...value, name };
  }

  /** A shape as an input of an operator; an open batch is read from the graph's first input. */
  #extents(shape: readonly number[]): Operand {
    const opened = this.#opened(shape, "batch");
    const axis = opened.indexOf("batch");
    if (axis === -1) return this.list(shape);
    const one = { shape: [1], dtype: "int64" } as const;
    const whole = this.node("Shape", [this.#first!], {
      shape: [this.#first!.shape.length],
      dtype: "int64",
    });
    const batch = this.node("Slice", [whole, this.list([0]), this.list([1])], one);
    const extent = this.node("Mul", [batch, this.list([shape[axis]! / this.#openBatch!])], one);
    const parts = [shape.slice(0, axis), shape.slice(axis + 1)].map((part) => this.list(part));
    const all = { shape: [shape.length], dtype: "int64" } as const;
    return this.node("Concat", [parts[0]!, extent, parts[1]!], all, { axis: 0 });
  }

  #opened<T>(shape: readonly number[], open: T): readonly (number | T)[] {
    const batch = this.#openBatch;
    if (batch === undefined) return shape;
    const exact = shape.indexOf(batch);
    const axis = exact === -1 ? shape.findIndex((extent) => extent % batch === 0) : exact;
    return shape.map((extent, index) => (index === axis ? open : extent));
  }

  #newName(): string {
    return `v${this.#names.count++}`;
  }
}

/** Names that a node reads, in its graphs too. */
function usedBy({ inputs, attributes }: OnnxNode): readonly string[] {
  const inner = Object.values(attributes).flatMap((attribute) =>
    typeof attribute === "object" && "graph" in attribute
      ? [
          ...attribute.graph.nodes.flatMap(usedBy),
          ...attribute.graph.outputs.map(({ name }) => name),
        ]
      : [],
  );
  return [...inputs, ...inner];
}

function encode(values: readonly number[], dtype: OnnxDType): Uint8Array {
  const array = {
    float32: () => Float32Array.from(values),
    float64: () => Float64Array.from(values),
    int32: () => Int32Array.from(values),
    int64: () => BigInt64Array.from(values, BigInt),
    bool: () => Uint8Array.from(values),
  }[dtype]();
  return new Uint8Array(array.buffer);
}

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

  constructor(parent?: OnnxGraph) {
    this.#names = parent === undefined ? { count: 0 } : parent.#names;
    this.#suffix = parent === undefined ? "" : `@${this.#names.count++}`;
  }

  input({ shape, dtype }: PlanValue): Operand {
    const name = this.#newName();
    this.#inputs.push({ name, shape, dtype });
    return { name, shape, dtype };
  }

  constant({ shape, dtype }: PlanValue, data: PlanArray): Operand {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return this.#initializer({ shape, dtype }, bytes, this.#newName());
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
    const reshaped = this.node("Reshape", [root, this.list(shape)], { shape, dtype: root.dtype });
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

  /** Makes an operand an output of the graph. @returns its name */
  output(operand: Operand): string {
    const named = operand.name ?? "";
    const isFree =
      this.#computed.has(named) && !this.#outputs.some((output) => output.name === named);
    const { name, shape, dtype } = isFree ? operand : this.node("Identity", [operand], operand);
    this.#outputs.push({ name: name!, shape, dtype });
    return name!;
  }

  /** The graph as an attribute of a node around it. */
  content(): OnnxGraphContent {
    return {
      nodes: this.#nodes,
      inputs: this.#inputs,
      outputs: this.#outputs,
      initializers: [...this.#initializers.values()],
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
      spread = this.node("Expand", [small, this.list(shape)], { shape, dtype });
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

  #newName(): string {
    return `v${this.#names.count++}`;
  }
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

import type { PlanDType } from "@psgd/core";

/**
 * Writes ONNX models: the few messages of `onnx.proto3` (ONNX IR 8, opset 17) that lowered plans need, in the
 * protobuf encoding. Source: github.com/onnx/onnx/blob/v1.12.0/onnx/onnx.proto3 (field numbers).
 */

/** Element types of ONNX tensors (`TensorProto.DataType`). */
const ELEMENT_TYPE = { float32: 1, int32: 6, int64: 7, bool: 9, float64: 11 } as const;

export type OnnxDType = PlanDType | "int64" | "float64";

export type OnnxAttribute =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly graph: OnnxGraphContent };

export interface OnnxValue {
  readonly name: string;
  readonly dtype: OnnxDType;
  /** Extents; a name where any will do. */
  readonly shape: readonly (number | string)[];
}

export interface OnnxInitializer extends OnnxValue {
  readonly shape: readonly number[];
  /** The values, little endian. */
  readonly bytes: Uint8Array;
}

export interface OnnxNode {
  readonly operator: string;
  /** Empty for an optional input that is absent. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxGraphContent {
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly initializers: readonly OnnxInitializer[];
}

const IR_VERSION = 8;
const OPSET_VERSION = 17;

/** The bytes of a ModelProto. */
export function modelProto(graph: OnnxGraphContent): Uint8Array {
  return message((model) => {
    model.integer(1, IR_VERSION);
    model.text(2, "psgd");
    model.bytes(7, graphProto(graph));
    model.bytes(
      8,
      message((opset) => {
        opset.text(1, "");
        opset.integer(2, OPSET_VERSION);
      }),
    );
  });
}

function graphProto(graph: OnnxGraphContent): Uint8Array {
  return message((proto) => {
    for (const node of graph.nodes) proto.bytes(1, nodeProto(node));
    proto.text(2, "plan");
    for (const initializer of graph.initializers) proto.bytes(5, tensorProto(initializer));
    for (const value of graph.inputs) proto.bytes(11, valueInfoProto(value));
    for (const value of graph.outputs) proto.bytes(12, valueInfoProto(value));
  });
}

function nodeProto({ operator, inputs, outputs, attributes }: OnnxNode): Uint8Array {
  return message((proto) => {
    for (const input of inputs) proto.text(1, input);
    for (const output of outputs) proto.text(2, output);
    proto.text(4, operator);
    for (const [name, value] of Object.entries(attributes)) {
      proto.bytes(5, attributeProto(name, value));
    }
  });
}

function attributeProto(name: string, value: OnnxAttribute): Uint8Array {
  return message((proto) => {
    proto.text(1, name);
    if (typeof value === "number") {
      proto.integer(3, value);
      proto.integer(20, 2);
    } else if (typeof value === "string") {
      proto.text(4, value);
      proto.integer(20, 3);
    } else if ("float" in value) {
      proto.float(2, value.float);
      proto.integer(20, 1);
    } else if ("graph" in value) {
      proto.bytes(6, graphProto(value.graph));
      proto.integer(20, 5);
    } else {
      for (const entry of value) proto.integer(8, entry);
      proto.integer(20, 7);
    }
  });
}

function tensorProto({ name, dtype, shape, bytes }: OnnxInitializer): Uint8Array {
  return message((proto) => {
    for (const extent of shape) proto.integer(1, extent);
    proto.integer(2, ELEMENT_TYPE[dtype]);
    proto.text(8, name);
    proto.bytes(9, bytes);
  });
}

function valueInfoProto({ name, dtype, shape }: OnnxValue): Uint8Array {
  const tensorShape = message((proto) => {
    for (const extent of shape) {
      proto.bytes(
        1,
        message((dimension) => {
          if (typeof extent === "number") dimension.integer(1, extent);
          else dimension.text(2, extent);
        }),
      );
    }
  });
  const tensorType = message((proto) => {
    proto.integer(1, ELEMENT_TYPE[dtype]);
    proto.bytes(2, tensorShape);
  });
  return message((proto) => {
    proto.text(1, name);
    proto.bytes(
      2,
      message((type) => type.bytes(1, tensorType)),
    );
  });
}

/** Collects the fields of one message. */
class MessageWriter {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  integer(field: number, value: number): void {
    this.#append(varint(field << 3));
    this.#append(varint(value));
  }

  float(field: number, value: number): void {
    this.#append(varint((field << 3) | 5));
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    this.#append(bytes);
  }

  bytes(field: number, bytes: Uint8Array): void {
    this.#append(varint((field << 3) | 2));
    this.#append(varint(bytes.length));
    this.#append(bytes);
  }

  text(field: number, text: string): void {
    this.bytes(field, new TextEncoder().encode(text));
  }

  finish(): Uint8Array {
    const whole = new Uint8Array(this.#length);
    let offset = 0;
    for (const part of this.#parts) {
      whole.set(part, offset);
      offset += part.length;
    }
    return whole;
  }

  #append(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }
}

function message(write: (writer: MessageWriter) => void): Uint8Array {
  const writer = new MessageWriter();
  write(writer);
  return writer.finish();
}

/** Base 128, least significant first; negative numbers as 64-bit two's complement. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Uint8Array.from(bytes);
}

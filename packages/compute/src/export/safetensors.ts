import { PsgdError, requireLength } from "@psgd/core";
import type { NamedTensors } from "./named-tensors.js";
import { tensorBytes } from "./tensor-bytes.js";

const ALIGNMENT = 8;

/**
 * Weights in the safetensors format: the length of the header as 64 bits little endian, a JSON header, the tensors.
 * Source: github.com/huggingface/safetensors, README, "Format".
 *
 * @param metadata - free text by name
 * @throws {PsgdError} SHAPE_MISMATCH; MODEL_INVALID if a tensor has the name that is kept for the metadata
 */
export function safetensorsFile(
  { layout, weights }: NamedTensors,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  requireLength(weights, layout.size, "weights of the safetensors file");
  const header: Record<string, unknown> = { __metadata__: metadata };
  for (const { name, shape, offset, size } of layout.tensors) {
    if (name === "__metadata__") {
      throw new PsgdError("MODEL_INVALID", "tensor name: expected one other than `__metadata__`");
    }
    header[name] = { dtype: "F32", shape, data_offsets: [4 * offset, 4 * (offset + size)] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  // Readers map the file: spaces at the end of the header keep the tensors aligned.
  const headerLength = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const file = new Uint8Array(8 + headerLength + 4 * weights.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength), true);
  file.fill(0x20, 8, 8 + headerLength);
  file.set(json, 8);
  file.set(tensorBytes(weights), 8 + headerLength);
  return file;
}

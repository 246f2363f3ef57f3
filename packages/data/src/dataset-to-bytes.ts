import type { DatasetContent, Samples } from "./dataset.js";

/*
 * The packed form, by which datasets travel and are named:
 *   8 bytes "PSGDDATA" · u32 version · u32 header length · header (JSON) · train inputs · train targets · test inputs ·
 *   test targets, each padded with zeros to a multiple of 8 bytes. Numbers are little-endian.
 */
export const MAGIC = "PSGDDATA";
export const VERSION = 1;
export const PREFIX_BYTES = 16;
export const ALIGNMENT = 8;

type ElementType = "uint8" | "float32";

export interface SamplesHeader {
  readonly count: number;
  readonly inputs: { readonly type: ElementType; readonly length: number };
  readonly targets: { readonly type: ElementType; readonly length: number };
}

/** Packs a dataset. The same dataset gives the same bytes on every machine, and `sha256` is their hash. */
export function datasetToBytes(dataset: DatasetContent): Uint8Array {
  const parts = packedParts(dataset);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/** The packed form in pieces, without copying the data. */
export function packedParts(content: DatasetContent): Uint8Array[] {
  const { name, task, inputShape, outputSize, synthetic, train, test } = content;
  // The order of these keys is part of the format: the hash depends on it.
  const header = new TextEncoder().encode(
    JSON.stringify({
      name,
      task,
      inputShape,
      outputSize,
      synthetic,
      train: describeSamples(train),
      test: describeSamples(test),
    }),
  );
  const prefix = new Uint8Array(PREFIX_BYTES);
  prefix.set(new TextEncoder().encode(MAGIC));
  const numbers = new DataView(prefix.buffer);
  numbers.setUint32(8, VERSION, true);
  numbers.setUint32(12, header.length, true);
  const arrays = [train.inputs, train.targets, test.inputs, test.targets].map(
    ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
  );
  return [prefix, ...[header, ...arrays].flatMap(withPadding)];
}

function describeSamples({ count, inputs, targets }: Samples): SamplesHeader {
  const describe = (array: Samples["inputs"]): SamplesHeader["inputs"] => ({
    type: array instanceof Float32Array ? "float32" : "uint8",
    length: array.length,
  });
  return { count, inputs: describe(inputs), targets: describe(targets) };
}

function withPadding(bytes: Uint8Array): Uint8Array[] {
  return [bytes, new Uint8Array(padded(bytes.length) - bytes.length)];
}

export function padded(byteLength: number): number {
  return Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
}

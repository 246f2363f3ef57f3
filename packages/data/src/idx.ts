import { PsgdError } from "@psgd/core";

/** An array of bytes as stored in an IDX file. */
export interface IdxArray {
  readonly shape: readonly number[];
  /** Row-major; a view of the bytes it was read from. */
  readonly values: Uint8Array;
}

const UNSIGNED_BYTE = 0x08;

/**
 * Reads the IDX format: two zero bytes, the element type, the number of dimensions, their extents as big-endian
 * 32-bit numbers, then the values. Only unsigned bytes are read.
 *
 * @param file - named in errors
 * @param dimensionCount - what the file must have: 3 for images, 1 for labels
 * @throws {PsgdError} DATA_CORRUPT
 * @see "THE IDX FILE FORMAT" on Yann LeCun's MNIST page
 */
export function parseIdx(bytes: Uint8Array, file: string, dimensionCount: number): IdxArray {
  const headerBytes = 4 + 4 * dimensionCount;
  if (bytes.length < headerBytes) {
    throw corrupt(file, `at least ${headerBytes} bytes`, `${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0);
  const expected = (UNSIGNED_BYTE << 8) | dimensionCount;
  if (magic !== expected) throw corrupt(file, `magic number ${hex(expected)}`, hex(magic));
  const shape = Array.from({ length: dimensionCount }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, extent) => product * extent, 1);
  if (size !== bytes.length - headerBytes) {
    throw corrupt(
      file,
      `${size} values for the shape ${shape.join(" x ")}`,
      `${bytes.length - headerBytes}`,
    );
  }
  return { shape, values: bytes.subarray(headerBytes) };
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}

function corrupt(file: string, rule: string, got: string): PsgdError {
  return new PsgdError(
    "DATA_CORRUPT",
    `IDX file \`${file}\`: expected ${rule}, got ${got}; replace the file`,
  );
}

import { isPsgdError, seededRandom } from "@psgd/core";
import { describe, expect, test } from "vitest";
import { parseIdx } from "./idx.js";

/** An IDX file of bytes: header fields big-endian, then the values. */
function idxFile(shape: readonly number[], values: readonly number[], type = 0x08): Uint8Array {
  const header = new Uint8Array(4 + 4 * shape.length);
  const view = new DataView(header.buffer);
  view.setUint8(2, type);
  view.setUint8(3, shape.length);
  shape.forEach((extent, axis) => view.setUint32(4 + 4 * axis, extent));
  return Uint8Array.from([...header, ...values]);
}

describe("parseIdx", () => {
  test("reads shape and values, also from the middle of a buffer", () => {
    const file = idxFile([2, 1, 3], [1, 2, 3, 253, 254, 255]);
    const inside = new Uint8Array([9, 9, 9, ...file, 9]).subarray(3, 3 + file.length);
    for (const bytes of [file, inside]) {
      const { shape, values } = parseIdx(bytes, "images", 3);
      expect(shape).toEqual([2, 1, 3]);
      expect([...values]).toEqual([1, 2, 3, 253, 254, 255]);
    }
  });

  test("refuses a file cut off anywhere, or with a byte too many", () => {
    const file = idxFile([2, 2], [1, 2, 3, 4]);
    for (let length = 0; length < file.length; length++) {
      expect(() => parseIdx(file.subarray(0, length), "labels", 2), `${length} bytes`).toThrow(
        /^DATA_CORRUPT: IDX file `labels`: expected/,
      );
    }
    expect(() => parseIdx(Uint8Array.from([...file, 0]), "labels", 2)).toThrow(
      "expected 4 values for the shape 2 x 2, got 5",
    );
  });

  test("refuses another element type, another number of dimensions and impossible extents", () => {
    expect(() => parseIdx(idxFile([2], [1, 2], 0x0d), "labels", 1)).toThrow(
      "expected magic number 0x00000801, got 0x00000d01",
    );
    expect(() => parseIdx(idxFile([1, 2], [1, 2]), "labels", 1)).toThrow("got 0x00000802");
    const huge = idxFile([0xffffffff, 0xffffffff, 0xffffffff], [1, 2]);
    expect(() => parseIdx(huge, "images", 3)).toThrow(/^DATA_CORRUPT/);
  });

  test("never does anything but read or refuse random bytes", () => {
    const random = seededRandom("idx");
    for (let trial = 0; trial < 2000; trial++) {
      const bytes = Uint8Array.from({ length: random.uint32() % 40 }, () => random.uint32() % 4);
      try {
        const { shape, values } = parseIdx(bytes, "noise", 1 + (trial % 3));
        expect(shape.reduce((product, extent) => product * extent, 1)).toBe(values.length);
      } catch (error) {
        expect(isPsgdError(error, "DATA_CORRUPT"), `trial ${trial}: ${String(error)}`).toBe(true);
      }
    }
  });
});

import { createHash } from "node:crypto";
import { isPsgdError } from "@psgd/core";
import { describe, expect, test } from "vitest";
import { createDataset } from "./create-dataset.js";
import type { Dataset } from "./dataset.js";
import { datasetFromBytes } from "./dataset-from-bytes.js";
import { datasetToBytes } from "./dataset-to-bytes.js";
import { labelled, regression } from "./labelled.fixture.js";

const images = labelled([3, 1, 4, 1, 5]);
const lines = regression([0.5, -1, 2, 1e-30, 3, 4], [1, -2, 0.25]);

/** Packed bytes with another header, which may lie. */
function withHeader(
  dataset: Dataset,
  change: (header: Record<string, unknown>) => unknown,
): Uint8Array {
  const bytes = datasetToBytes(dataset);
  const view = new DataView(bytes.buffer);
  const length = view.getUint32(12, true);
  const text = new TextDecoder().decode(bytes.subarray(16, 16 + length));
  const header = new TextEncoder().encode(
    JSON.stringify(change(JSON.parse(text) as Record<string, unknown>)),
  );
  const body = bytes.subarray(16 + Math.ceil(length / 8) * 8);
  const changed = new Uint8Array(16 + Math.ceil(header.length / 8) * 8 + body.length);
  changed.set(bytes.subarray(0, 12));
  new DataView(changed.buffer).setUint32(12, header.length, true);
  changed.set(header, 16);
  changed.set(body, changed.length - body.length);
  return changed;
}

describe("a packed dataset", () => {
  test.each([images, lines])("comes back equal: $name", (dataset) => {
    expect(datasetFromBytes(datasetToBytes(dataset))).toEqual(dataset);
  });

  test("is named by the hash of its bytes", () => {
    const bytes = datasetToBytes(images);
    expect(images.sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
  });

  test("has another name if a label, a pixel or the description differs", () => {
    const names = [
      images,
      labelled([3, 1, 4, 1, 6]),
      createDataset({ ...images, outputSize: 9 }),
      createDataset({ ...images, synthetic: false }),
      createDataset({
        ...images,
        train: { ...images.train, inputs: images.train.inputs.map((x, at) => (at === 0 ? 7 : x)) },
      }),
    ].map(({ sha256 }) => sha256);
    expect(new Set(names).size).toBe(names.length);
  });

  test("is read from any place in a buffer", () => {
    const bytes = datasetToBytes(lines);
    for (let shift = 0; shift < 9; shift++) {
      const buffer = new Uint8Array(bytes.length + shift);
      buffer.set(bytes, shift);
      expect(datasetFromBytes(buffer.subarray(shift)).sha256).toBe(lines.sha256);
    }
  });

  test("is refused if cut off anywhere, or longer than it says", () => {
    const bytes = datasetToBytes(lines);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => datasetFromBytes(bytes.slice(0, length)), `${length} bytes`).toThrow(
        /^DATA_CORRUPT: packed dataset/,
      );
    }
    expect(() => datasetFromBytes(Uint8Array.from([...bytes, 0]))).toThrow(/^DATA_CORRUPT/);
  });

  test("is refused, or is another dataset, if a bit is flipped", () => {
    for (const dataset of [images, lines]) {
      const bytes = datasetToBytes(dataset);
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const flipped = bytes.slice();
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        try {
          datasetFromBytes(flipped);
        } catch (error) {
          expect(isPsgdError(error, "DATA_CORRUPT"), `bit ${bit}: ${String(error)}`).toBe(true);
        }
      }
    }
  });

  test.each<[string, (header: Record<string, unknown>) => unknown]>([
    ["no object", () => 7],
    ["null", () => null],
    ["another task", (header) => ({ ...header, task: "clustering" })],
    ["a negative output size", (header) => ({ ...header, outputSize: -1 })],
    ["a fraction of a class", (header) => ({ ...header, outputSize: 1.5 })],
    ["fewer classes than labels", (header) => ({ ...header, outputSize: 5 })],
    ["more classes than a byte has", (header) => ({ ...header, outputSize: 257 })],
    ["another shape", (header) => ({ ...header, inputShape: [3] })],
    ["an empty extent", (header) => ({ ...header, inputShape: [2, 0] })],
    ["a shape that overflows", (header) => ({ ...header, inputShape: [2 ** 40, 2 ** 40, 2] })],
    ["a count that is not there", (header) => ({ ...header, train: { count: 9 } })],
    [
      "an array beyond all memory",
      (header) => ({
        ...header,
        train: {
          count: 1,
          inputs: { type: "float32", length: Number.MAX_SAFE_INTEGER },
          targets: { type: "uint8", length: 1 },
        },
      }),
    ],
    [
      "an unknown element type",
      (header) => ({
        ...header,
        train: {
          count: 5,
          inputs: { type: "int8", length: 10 },
          targets: { type: "uint8", length: 5 },
        },
      }),
    ],
    ["a header of megabytes", (header) => ({ ...header, name: "x".repeat(10_000) })],
  ])("is refused with %s", (_, change) => {
    expect(() => datasetFromBytes(withHeader(images, change))).toThrow(/^DATA_CORRUPT/);
  });

  test("is refused with numbers that are not finite", () => {
    const bytes = datasetToBytes(lines);
    new DataView(bytes.buffer).setFloat32(bytes.length - 16, Number.NaN, true);
    expect(() => datasetFromBytes(bytes)).toThrow(
      "DATA_CORRUPT: dataset `regression`, test targets: expected finite numbers, got NaN at position 0",
    );
  });
});

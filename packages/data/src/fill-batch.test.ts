import { describe, expect, test } from "vitest";
import type { Dataset } from "./dataset.js";
import { fillBatch } from "./fill-batch.js";
import { labelled, regression } from "./labelled.fixture.js";
import { prepareData, type TransformDescription } from "./prepare-data.js";
import type { SampleView } from "./transforms/transform.js";

function view(dataset: Dataset, ...transforms: TransformDescription[]): SampleView {
  return prepareData(dataset, transforms, { seed: 0, blockCount: 1, batchSize: 1 }).train;
}

/** Buffers full of what must not remain. */
function buffers(rows: number, from: SampleView): { x: Float32Array; y: Float32Array } {
  return {
    x: new Float32Array(rows * from.inputSize).fill(99),
    y: new Float32Array(rows * from.targetSize).fill(99),
  };
}

describe("fillBatch", () => {
  test("makes bytes x / 255 - 0.5 and labels one-hot with `image_cls`", () => {
    const images = view(labelled([2, 0, 1], 3), { name: "image_cls" });
    const batch = buffers(2, images);
    fillBatch(images, Uint32Array.of(2, 0), batch);
    expect([...batch.x]).toEqual([-0.5, Math.fround(2 / 255 - 0.5), -0.5, -0.5]);
    expect([...batch.y]).toEqual([0, 1, 0, 0, 0, 1]);
  });

  test("covers the whole range of bytes, for rows of any length", () => {
    for (const size of [1, 2, 3, 4, 5, 7, 8, 256]) {
      const inputs = Uint8Array.from({ length: 2 * size }, (_, at) => (at * 37 + 255) % 256);
      const images: SampleView = {
        ...view(labelled([0, 1], 2), { name: "image_cls" }),
        inputSize: size,
        samples: { count: 2, inputs, targets: Uint8Array.of(0, 1) },
      };
      const batch = buffers(2, images);
      fillBatch(images, Uint32Array.of(0, 1), batch);
      expect(batch.x).toEqual(Float32Array.from(inputs, (byte) => byte / 255 - 0.5));
    }
  });

  test("hands bytes and labels over as numbers without `image_cls`", () => {
    const images = view(labelled([2, 0, 1], 3));
    const batch = buffers(3, images);
    fillBatch(images, Uint32Array.of(0, 1, 2), batch);
    expect([...batch.x]).toEqual([0, 0, 0, 1, 0, 2]);
    expect([...batch.y]).toEqual([2, 0, 1]);
  });

  test("copies floats as they are", () => {
    const lines = view(regression([0.1, 0.2, 0.3, 0.4], [5, 6]));
    const batch = buffers(3, lines);
    fillBatch(lines, Uint32Array.of(1, 1, 0), batch);
    expect(batch.x).toEqual(Float32Array.of(0.3, 0.4, 0.3, 0.4, 0.1, 0.2));
    expect([...batch.y]).toEqual([6, 6, 5]);
  });

  test("refuses buffers of another length and rows that are not there", () => {
    const images = view(labelled([2, 0, 1], 3));
    const { x, y } = buffers(2, images);
    expect(() => fillBatch(images, Uint32Array.of(0), { x, y })).toThrow(/^SHAPE_MISMATCH/);
    expect(() => fillBatch(images, Uint32Array.of(0, 3), { x, y })).toThrow("bug: row 3 of 3");
  });
});

import { describe, expect, test } from "vitest";
import { BlockSampler } from "./block-sampler.js";
import { labelled } from "./labelled.fixture.js";
import { prepareData } from "./prepare-data.js";

const SEED = "sampler";

function shuffled(count: number, seed: string = SEED): ReturnType<typeof prepareData>["train"] {
  const dataset = labelled(Array.from({ length: count }, (_, row) => row % 10));
  return prepareData(dataset, [{ name: "shuffle" }], { seed, blockCount: 1, batchSize: 1 }).train;
}

/** All rows of a step, block by block. */
function rowsOfStep(sampler: BlockSampler, step: number, blockCount: number): number[] {
  return Array.from({ length: blockCount }, (_, blockId) => [
    ...sampler.rows({ step, blockId }),
  ]).flat();
}

describe("BlockSampler", () => {
  test("gives k blocks of B samples together what it gives one block of k B samples", () => {
    const view = shuffled(101);
    const one = new BlockSampler(view, { batchSize: 12, blockCount: 1 });
    for (const [batchSize, blockCount] of [
      [3, 4],
      [4, 3],
      [1, 12],
      [6, 2],
    ] as const) {
      const many = new BlockSampler(view, { batchSize, blockCount });
      expect(many.stepsPerEpoch).toBe(one.stepsPerEpoch);
      for (let step = 0; step < 3 * one.stepsPerEpoch; step++) {
        expect(rowsOfStep(many, step, blockCount)).toEqual(rowsOfStep(one, step, 1));
      }
    }
  });

  test("visits every sample at most once per epoch and leaves out less than a step", () => {
    const sampler = new BlockSampler(shuffled(101), { batchSize: 3, blockCount: 4 });
    expect(sampler.stepsPerEpoch).toBe(8);
    for (let epoch = 0; epoch < 3; epoch++) {
      const seen = new Set<number>();
      for (let step = 0; step < 8; step++) {
        for (const row of rowsOfStep(sampler, epoch * 8 + step, 4)) seen.add(row);
      }
      expect(seen.size).toBe(96);
      expect(Math.max(...seen)).toBeLessThan(101);
    }
  });

  test("leaves out other samples in another epoch", () => {
    const sampler = new BlockSampler(shuffled(19), { batchSize: 10, blockCount: 1 });
    const epochs = Array.from({ length: 5 }, (_, step) =>
      rowsOfStep(sampler, step, 1)
        .sort((a, b) => a - b)
        .join(),
    );
    expect(new Set(epochs).size).toBeGreaterThan(1);
  });

  test("gives the same rows whatever was asked before, and other rows for another seed", () => {
    const fresh = (): BlockSampler =>
      new BlockSampler(shuffled(64), { batchSize: 4, blockCount: 2 });
    const used = fresh();
    for (const step of [40, 3, 17, 0, 25]) {
      expect(rowsOfStep(used, step, 2)).toEqual(rowsOfStep(fresh(), step, 2));
    }
    const other = new BlockSampler(shuffled(64, "another"), { batchSize: 4, blockCount: 2 });
    expect(rowsOfStep(other, 0, 2)).not.toEqual(rowsOfStep(used, 0, 2));
  });

  test("refuses a job that needs more samples for one step than there are", () => {
    expect(() => new BlockSampler(shuffled(39), { batchSize: 4, blockCount: 10 })).toThrow(
      "SETTINGS_INVALID: training data: expected at least 40 samples for one step (10 blocks of 4), got 39; " +
        "lower `--batch-size` or the number of nodes",
    );
    expect(new BlockSampler(shuffled(40), { batchSize: 4, blockCount: 10 }).stepsPerEpoch).toBe(1);
  });

  test.each([0, -1, 1.5, Number.NaN])("refuses %s as a batch size or block count", (value) => {
    expect(() => new BlockSampler(shuffled(9), { batchSize: value, blockCount: 1 })).toThrow(
      /^SETTINGS_INVALID: `batchSize`/,
    );
    expect(() => new BlockSampler(shuffled(9), { batchSize: 1, blockCount: value })).toThrow(
      /^SETTINGS_INVALID: `blockCount`/,
    );
  });
});

import { describe, expect, test } from "vitest";
import { BlockSampler } from "../block-sampler.js";
import type { Dataset } from "../dataset.js";
import { labelled, regression } from "../labelled.fixture.js";
import { parseTransforms, prepareData, type TransformDescription } from "../prepare-data.js";
import type { SampleView, TransformContext } from "./transform.js";

const CLASS_COUNT = 10;
const COUNT = 1000;
/** 1000 rows, 100 of each label, in an order that is not sorted. */
const balanced = labelled(Array.from({ length: COUNT }, (_, row) => (row * 7) % CLASS_COUNT));
const lines = regression([1, 2], [3, 4]);
const context: TransformContext = { seed: "t", blockCount: 5, batchSize: 8 };
const shuffle: TransformDescription = { name: "shuffle" };

function train(
  transforms: readonly TransformDescription[],
  change: Partial<TransformContext> = {},
  dataset: Dataset = balanced,
): SampleView {
  return prepareData(dataset, transforms, { ...context, ...change }).train;
}

function trueNonIid(disorder: number): TransformDescription {
  return { name: "true_non_iid", batchSize: 8, disorder };
}

function labelOf(view: SampleView, row: number): number {
  return view.samples.targets[row]!;
}

function sorted(rows: Iterable<number>): number[] {
  return [...rows].sort((a, b) => a - b);
}

const ALL_ROWS = Array.from({ length: COUNT }, (_, row) => row);

/** By block: the rows it is computed from in one epoch. */
function rowsByBlock(view: SampleView, epoch: number): number[][] {
  const sampler = new BlockSampler(view, context);
  return Array.from({ length: context.blockCount }, (_, blockId) =>
    Array.from({ length: sampler.stepsPerEpoch }, (_unused, step) => [
      ...sampler.rows({ step: epoch * sampler.stepsPerEpoch + step, blockId }),
    ]).flat(),
  );
}

describe("every order", () => {
  test.each<[string, TransformDescription[]]>([
    ["no transform", []],
    ["shuffle", [shuffle]],
    ["make_non_iid", [{ name: "make_non_iid", batchSize: 7 }]],
    ["make_non_iid after shuffle", [shuffle, { name: "make_non_iid", batchSize: 7 }]],
    ["true_non_iid", [trueNonIid(0)]],
    ["shards", [{ name: "shards", perBlock: 7 }]],
    ["shards after shuffle", [shuffle, { name: "shards", perBlock: 2 }]],
    ["true_non_iid after shuffle, half disordered", [shuffle, trueNonIid(0.5)]],
  ])("has each row once and repeats from the seed: %s", (_, transforms) => {
    for (const epoch of [0, 1, 7]) {
      const order = train(transforms).order(epoch);
      expect(sorted(order)).toEqual(ALL_ROWS);
      expect(order).toEqual(train(transforms).order(epoch));
    }
  });
});

describe("shuffle", () => {
  test("gives another order for another epoch or seed", () => {
    const orders = [
      train([shuffle]).order(0),
      train([shuffle]).order(1),
      train([shuffle], { seed: "u" }).order(0),
    ].map((order) => order.join());
    expect(new Set(orders).size).toBe(3);
  });

  test("does not depend on how a step is cut into blocks", () => {
    const other = train([shuffle], { blockCount: 1, batchSize: 40 });
    expect(other.order(3)).toEqual(train([shuffle]).order(3));
  });

  test("leaves the test samples in their order", () => {
    const { test: testView } = prepareData(balanced, [shuffle], context);
    expect([...testView.order(1)]).toEqual(ALL_ROWS);
  });
});

describe("make_non_iid", () => {
  const description: TransformDescription = { name: "make_non_iid", batchSize: 8 };

  /** The labels of each run of a batch. */
  function runs(view: SampleView, epoch: number): string[] {
    const order = view.order(epoch);
    return Array.from({ length: COUNT / 8 }, (_, run) =>
      [...new Set(order.slice(run * 8, run * 8 + 8))].map((row) => labelOf(view, row)).join(),
    );
  }

  test("gives each run one label, except at the borders between labels", () => {
    const mixed = runs(train([shuffle, description]), 0).filter(
      (labels) => new Set(labels.split(",")).size > 1,
    );
    // 100 rows of a label make 12.5 runs, so every second of the nine borders lies inside a run.
    expect(mixed).toHaveLength(5);
  });

  test("gives the blocks of most steps different labels", () => {
    const firstLabels = runs(train([description]), 0).map((labels) => labels[0]);
    let stepsWithOneLabel = 0;
    for (let step = 0; step < 25; step++) {
      if (new Set(firstLabels.slice(step * 5, step * 5 + 5)).size === 1) stepsWithOneLabel++;
    }
    // By chance about one step in ten thousand has five runs of the same label.
    expect(stepsWithOneLabel).toBe(0);
  });

  test("keeps the labels of the runs over the epochs while shuffle changes their samples", () => {
    const plain = train([description]);
    expect(plain.order(1)).toEqual(plain.order(0));
    const mixed = train([shuffle, description]);
    expect(mixed.order(1)).not.toEqual(mixed.order(0));
    const firstLabel = (labels: string): string | undefined => labels.split(",")[0];
    const pure = (epoch: number): (string | undefined)[] => runs(mixed, epoch).map(firstLabel);
    expect(pure(1).filter((label, run) => label !== pure(0)[run]).length).toBeLessThanOrEqual(5);
  });
});

describe("shards", () => {
  const shards = (perBlock: number): TransformDescription => ({ name: "shards", perBlock });

  test("gives each block the labels of its shards, drawn from the seed", () => {
    // 20 shards of 50 samples: each has one of the ten labels.
    const labelsOf = (seed: string): number[][] => {
      const view = train([shuffle, shards(2)], { seed, blockCount: 10, batchSize: 10 });
      const sampler = new BlockSampler(view, { blockCount: 10, batchSize: 10 });
      expect(sampler.stepsPerEpoch).toBe(10);
      return Array.from({ length: 10 }, (_, blockId) => {
        const rows = Array.from({ length: 10 }, (_unused, step) => [
          ...sampler.rows({ step, blockId }),
        ]).flat();
        return sorted(rows.map((row) => labelOf(view, row)));
      });
    };
    const labels = labelsOf("t");
    for (const block of labels) {
      expect([block[0], block[50]]).toEqual([block[49], block[99]]);
    }
    expect(sorted(labels.flat())).toEqual(sorted(ALL_ROWS.map((row) => row % 10)));
    expect(labelsOf("t")).toEqual(labels);
    expect(labelsOf("u")).not.toEqual(labels);
  });

  test("never moves a sample to another block, and visits all in another order each epoch", () => {
    for (const perBlock of [1, 2, 200]) {
      const view = train([shuffle, shards(perBlock)]);
      expect(rowsByBlock(view, 1).map(sorted)).toEqual(rowsByBlock(view, 0).map(sorted));
      expect(rowsByBlock(view, 1)).not.toEqual(rowsByBlock(view, 0));
    }
  });

  test("makes the data of a block a random part of all where a shard is one sample", () => {
    const view = train([shuffle, shards(200)]);
    for (const rows of rowsByBlock(view, 0)) {
      expect(rows).toHaveLength(200);
      for (let label = 0; label < CLASS_COUNT; label++) {
        // 20 expected, standard deviation 3.8.
        const count = rows.filter((row) => labelOf(view, row) === label).length;
        expect(Math.abs(count - 20), `label ${label}`).toBeLessThan(16);
      }
    }
  });

  test("deals out one by one what does not fill a shard", () => {
    const size = { blockCount: 7, batchSize: 1 };
    const view = train([shuffle, shards(3)], size);
    const sampler = new BlockSampler(view, size);
    // 21 shards of 47 and 13 more: 142 for each block, 6 left out.
    expect(sampler.stepsPerEpoch).toBe(142);
    const rowsOf = (blockId: number, epoch: number): number[] =>
      Array.from({ length: 142 }, (_, step) => [
        ...sampler.rows({ step: epoch * 142 + step, blockId }),
      ]).flat();
    const blocks = Array.from({ length: 7 }, (_, blockId) => rowsOf(blockId, 0));
    expect(new Set(blocks.flat()).size).toBe(7 * 142);
    // Two left over are in six of the seven blocks: one of them is left out then.
    const isSame = blocks.map((rows, blockId) => {
      const other = new Set(rowsOf(blockId, 1));
      return rows.filter((row) => other.has(row)).length >= 141;
    });
    expect(isSame).toEqual(blocks.map(() => true));
  });

  test("refuses more shards than samples", () => {
    expect(() => train([shards(201)])).toThrow(
      /^SETTINGS_INVALID: transform `shards`: expected at most 200 shards for each of 5 blocks of 1000 samples, got 201/,
    );
  });
});

describe("true_non_iid", () => {
  test("gives five blocks two labels each of ten without disorder", () => {
    const view = train([shuffle, trueNonIid(0)]);
    const labels = rowsByBlock(view, 0).map((rows) =>
      sorted(new Set(rows.map((row) => labelOf(view, row)))),
    );
    expect(labels).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
      [6, 7],
      [8, 9],
    ]);
  });

  test("never moves a sample to another block, in any epoch", () => {
    for (const disorder of [0, 0.3, 1]) {
      const view = train([shuffle, trueNonIid(disorder)]);
      const first = rowsByBlock(view, 0).map(sorted);
      const second = rowsByBlock(view, 1).map(sorted);
      expect(second).toEqual(first);
      expect(rowsByBlock(view, 1)).not.toEqual(rowsByBlock(view, 0));
    }
  });

  test("moves about the stated fraction of the samples out of their share", () => {
    for (const disorder of [0.1, 0.5, 1]) {
      const view = train([trueNonIid(disorder)]);
      const strangers = rowsByBlock(view, 0).map(
        (rows, block) => rows.filter((row) => labelOf(view, row) >> 1 !== block).length,
      );
      const moved = strangers.reduce((sum, count) => sum + count, 0);
      // Of d n samples that change places at random, one in five comes back to its share: mean 0.8 d n, here with a
      // standard deviation below 13; five of them.
      expect(Math.abs(moved - 0.8 * disorder * COUNT)).toBeLessThan(65);
      expect(moved).toBeLessThanOrEqual(disorder * COUNT);
    }
  });

  test("makes every share a random sample with full disorder", () => {
    const view = train([trueNonIid(1)]);
    for (const rows of rowsByBlock(view, 0)) {
      const counts = new Array<number>(CLASS_COUNT).fill(0);
      for (const row of rows) counts[labelOf(view, row)]!++;
      const statistic = counts.reduce((sum, count) => sum + (count - 20) ** 2 / 20, 0);
      // Chi-squared with 9 degrees of freedom exceeds 33.7 once in ten thousand.
      expect(statistic, counts.join()).toBeLessThan(33.7);
    }
  });

  test("does what it says where the samples do not come out even", () => {
    const uneven = labelled(Array.from({ length: 103 }, (_, row) => row % 3));
    const size = { blockCount: 4, batchSize: 8 };
    const view = train([{ name: "true_non_iid", batchSize: 8, disorder: 0 }], size, uneven);
    const sampler = new BlockSampler(view, size);
    const owner = new Map<number, number>();
    for (let step = 0; step < sampler.stepsPerEpoch * 2; step++) {
      for (let blockId = 0; blockId < 4; blockId++) {
        for (const row of sampler.rows({ step, blockId })) {
          expect(owner.get(row) ?? blockId).toBe(blockId);
          owner.set(row, blockId);
        }
      }
    }
    expect(owner.size).toBe(96);
  });

  test("refuses another batch size than the job's", () => {
    const description: TransformDescription = { name: "true_non_iid", batchSize: 4, disorder: 0 };
    expect(() => train([description])).toThrow(
      /^SETTINGS_INVALID: transform `true_non_iid`: expected the job's batch size 8, got 4/,
    );
  });
});

describe("transforms and datasets that do not fit", () => {
  test.each<TransformDescription>([
    { name: "image_cls" },
    { name: "make_non_iid", batchSize: 1 },
    { name: "true_non_iid", batchSize: 8, disorder: 0 },
  ])("$name refuses a dataset without labels", (description) => {
    expect(() => train([description], {}, lines)).toThrow(
      new RegExp(`^SETTINGS_INVALID: transform \`${description.name}\`.*got \`regression\``),
    );
  });
});

describe("parseTransforms", () => {
  test("takes what a job file says", () => {
    const value: unknown = JSON.parse(
      '[{"name":"shuffle"},{"name":"image_cls"},{"name":"true_non_iid","batchSize":64,"disorder":0.1}]',
    );
    expect(parseTransforms(value)).toEqual(value);
  });

  test("names every fault at once", () => {
    expect(() =>
      parseTransforms([
        { name: "sort" },
        { name: "true_non_iid", batchSize: 0, disorder: 1.5 },
        { name: "shuffle", seed: 3 },
        7,
      ]),
    ).toThrow(
      'SETTINGS_INVALID: transform 0: expected a name among shuffle, image_cls, one_hot, make_non_iid, true_non_iid, shards, got "sort"; ' +
        "transform 1: `batchSize` of `true_non_iid`: expected a whole number from 1, got 0; " +
        "transform 1: `disorder` of `true_non_iid`: expected a fraction from 0 to 1, got 1.5; " +
        'transform 2: `shuffle` has no parameter "seed"; ' +
        "transform 3: expected an object with a name, got 7; " +
        "transforms: expected `shuffle` before `true_non_iid`, got it after; it would mix what that sorts",
    );
  });

  test.each([undefined, null, "shuffle", {}, [null], [[]], [{ name: "constructor" }], [{}]])(
    "refuses %j",
    (value) => {
      expect(() => parseTransforms(value)).toThrow(/^SETTINGS_INVALID: transform/);
    },
  );
});

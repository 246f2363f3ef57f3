import { describe, expect, expectTypeOf, it } from "vitest";
import { ASSIGNMENTS } from "./assignments/registry.js";
import { createSettings, type CodecParameters } from "./settings.js";

const settings = (parameters: CodecParameters = {}, seed = 1) =>
  createSettings({
    assignment: ASSIGNMENTS.iid({ nodeCount: 4, redundancy: 2 }),
    batchSize: 64,
    stepCount: 10,
    parameters,
    seed,
  });

describe("settings of a job", () => {
  it("say who takes part and which blocks there are", () => {
    const { nodeCount, nodes, blockCount, blocks, redundancy, batchSize, stepCount } = settings();
    expect({ nodeCount, nodes, blockCount, blocks, redundancy, batchSize, stepCount }).toEqual({
      nodeCount: 4,
      nodes: [0, 1, 2, 3],
      blockCount: 6,
      blocks: [0, 1, 2, 3, 4, 5],
      redundancy: 2,
      batchSize: 64,
      stepCount: 10,
    });
  });

  it("name the nodes that do not compute a block", () => {
    // The pairs of 4 nodes in order: 01, 02, 03, 12, 13, 23.
    const job = settings();
    expect(job.blocks.map((block) => job.nodesWithout(block))).toEqual([
      [2, 3],
      [1, 3],
      [1, 2],
      [0, 3],
      [0, 2],
      [0, 1],
    ]);
  });

  it("draw nodes alike wherever they are made, and others for another draw or seed", () => {
    const draws = (seed: number): string[] =>
      Array.from({ length: 200 }, (_, draw) => settings({}, seed).sampleNodes(draw, 2).join());
    expect(draws(1)).toEqual(draws(1));
    expect(draws(1)).not.toEqual(draws(2));
    // Each of the six pairs 33 times on average; standard deviation 5.3.
    for (const pair of ["0,1", "0,2", "0,3", "1,2", "1,3", "2,3"]) {
      const count = draws(1).filter((drawn) => drawn === pair).length;
      expect(Math.abs(count - 200 / 6), pair).toBeLessThan(22);
    }
    expect([0, 4].map((count) => settings().sampleNodes(7, count))).toEqual([[], [0, 1, 2, 3]]);
  });

  it("give a parameter, or its fallback", () => {
    const job = settings({ local_steps: 5, mode: "fast", exact: false });
    expect(job.param("local_steps")).toBe(5);
    expect(job.param("local_steps", 150)).toBe(5);
    expect(job.param("mode", "slow")).toBe("fast");
    expect(job.param("exact", true)).toBe(false);
    expect(job.param("other", 150)).toBe(150);
    expectTypeOf(job.param("local_steps", 150)).toEqualTypeOf<number>();
    expectTypeOf(job.param("mode", "slow")).toEqualTypeOf<string>();
    expectTypeOf(job.param("exact", true)).toEqualTypeOf<boolean>();
  });

  it("refuse a parameter that is neither set nor has a fallback", () => {
    const text = "SETTINGS_PARAM_MISSING: parameter `levels`: expected a value, got none";
    expect(() => settings().param("levels")).toThrow(text);
    expect(() => settings().param("toString")).toThrow("SETTINGS_PARAM_MISSING");
  });

  it("refuse a parameter of another type than its fallback", () => {
    expect(() => settings({ levels: "4" }).param("levels", 4)).toThrow(
      'SETTINGS_INVALID: parameter `levels`: expected a number, got "4"; set it with `--param levels=VALUE`',
    );
  });
});

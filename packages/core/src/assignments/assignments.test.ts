import { describe, expect, it } from "vitest";
import { isPsgdError } from "../errors.js";
import { ASSIGNMENTS, type AssignmentName } from "./registry.js";

/** C(n, r) by Pascal's rule. */
const choose = (n: number, r: number): number =>
  r === 0 || r === n ? 1 : choose(n - 1, r - 1) + choose(n - 1, r);

const BLOCK_COUNTS: Record<AssignmentName, (n: number, r: number) => number | undefined> = {
  iid: choose,
  duplicate: (n, r) => (n % r === 0 ? n / r : undefined),
};

describe.each(Object.keys(ASSIGNMENTS) as AssignmentName[])("block assignment %s", (name) => {
  const rule = ASSIGNMENTS[name];
  const sizes = Array.from({ length: 8 }, (_, n) =>
    Array.from({ length: n + 1 }, (_, r) => [n + 1, r + 1] as const),
  ).flat();

  it.each(sizes.filter(([n, r]) => BLOCK_COUNTS[name](n, r) !== undefined))(
    "puts each block on exactly the redundancy's number of nodes: %i nodes, redundancy %i",
    (nodeCount, redundancy) => {
      const { blockCount, blockToNodes, nodeToBlocks } = rule({ nodeCount, redundancy });
      expect(blockCount).toBe(BLOCK_COUNTS[name](nodeCount, redundancy));
      expect(blockToNodes.length).toBe(blockCount);
      expect(nodeToBlocks.length).toBe(nodeCount);
      for (const [block, nodes] of blockToNodes.entries()) {
        expect(nodes.length).toBe(redundancy);
        expect([...new Set(nodes)].sort((a, b) => a - b)).toEqual(nodes);
        for (let node = 0; node < nodeCount; node++) {
          expect(nodeToBlocks[node]!.includes(block)).toBe(nodes.includes(node));
        }
      }
      for (const blocks of nodeToBlocks) {
        expect(blocks.length).toBeGreaterThan(0);
        expect([...new Set(blocks)].sort((a, b) => a - b)).toEqual(blocks);
      }
    },
  );

  it.each([
    [0, 1],
    [-1, 1],
    [2.5, 1],
    [NaN, 1],
    [3, 0],
    [3, 4],
    [3, 1.5],
    [3, NaN],
  ])("refuses %d nodes with redundancy %d", (nodeCount, redundancy) => {
    let thrown: unknown;
    try {
      rule({ nodeCount, redundancy });
    } catch (error) {
      thrown = error;
    }
    expect(isPsgdError(thrown, "ASSIGNMENT_INVALID")).toBe(true);
  });
});

describe("block assignment duplicate", () => {
  it("refuses a node count that the redundancy does not divide, and names two that it does", () => {
    expect(() => ASSIGNMENTS.duplicate({ nodeCount: 7, redundancy: 3 })).toThrow(
      "duplicate assignment: expected a node count divisible by the redundancy 3, got 7; use 6 or 9 nodes, or `--block-assignment iid`",
    );
  });
});

describe("block assignment duplicate of many nodes", () => {
  it("refuses to explode, before it has made any block", () => {
    expect(() => ASSIGNMENTS.duplicate({ nodeCount: 1e9, redundancy: 1 })).toThrow(
      "ASSIGNMENT_INVALID: duplicate assignment: expected at most 4096 blocks, got 1000000000 / 1 = 1000000000",
    );
    expect(ASSIGNMENTS.duplicate({ nodeCount: 8192, redundancy: 2 }).blockCount).toBe(4096);
  });
});

describe("block assignment iid", () => {
  it("gives every set of nodes a block, in lexicographic order", () => {
    expect(ASSIGNMENTS.iid({ nodeCount: 4, redundancy: 3 }).blockToNodes).toEqual([
      [0, 1, 2],
      [0, 1, 3],
      [0, 2, 3],
      [1, 2, 3],
    ]);
  });

  it("refuses to explode, before it has made any block", () => {
    expect(() => ASSIGNMENTS.iid({ nodeCount: 30, redundancy: 15 })).toThrow(
      "expected at most 4096 blocks, got C(30, 15) = 155117520",
    );
    expect(() => ASSIGNMENTS.iid({ nodeCount: 5000, redundancy: 2500 })).toThrow(
      "ASSIGNMENT_INVALID: iid assignment: expected at most 4096 blocks",
    );
    expect(ASSIGNMENTS.iid({ nodeCount: 91, redundancy: 89 }).blockCount).toBe(4095);
  });
});

import { describe, expect, it } from "vitest";
import { ASSIGNMENTS } from "./registry.js";

// What all of them do is tested by the contract in test/contracts; here is what only one does.

describe("block assignment duplicate", () => {
  it("refuses a node count that the redundancy does not divide, and names two that it does", () => {
    expect(() => ASSIGNMENTS.duplicate({ nodeCount: 7, redundancy: 3 })).toThrow(
      "duplicate assignment: expected a node count divisible by the redundancy 3, got 7; use 6 or 9 nodes, or `--block-assignment iid`",
    );
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
    expect(() => ASSIGNMENTS.iid({ nodeCount: 4000, redundancy: 2000 })).toThrow(
      "ASSIGNMENT_INVALID: iid assignment: expected at most 4096 blocks",
    );
    expect(ASSIGNMENTS.iid({ nodeCount: 91, redundancy: 89 }).blockCount).toBe(4095);
  });
});

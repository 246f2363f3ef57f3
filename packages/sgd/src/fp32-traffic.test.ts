import { ASSIGNMENTS } from "@psgd/core";
import { expect, it } from "vitest";
import { fp32BytesPerStep } from "./fp32-traffic.js";

it("is n (n - 1) vectors where each of n nodes has a block, and 2 n with a server", () => {
  const assignment = ASSIGNMENTS.iid({ nodeCount: 5, redundancy: 1 });
  expect(fp32BytesPerStep(7, assignment, false)).toBe(5 * 4 * 4 * 7);
  expect(fp32BytesPerStep(7, assignment, true)).toBe(2 * 5 * 4 * 7);
});

it("is a vector from each of two holders of a block to the two who lack it", () => {
  // Each two of four nodes have one block in common: six blocks.
  const assignment = ASSIGNMENTS.iid({ nodeCount: 4, redundancy: 2 });
  expect(assignment.blockCount).toBe(6);
  expect(fp32BytesPerStep(7, assignment, false)).toBe(6 * 2 * 2 * 4 * 7);
});

it("is nothing where all nodes have all blocks", () => {
  expect(fp32BytesPerStep(7, ASSIGNMENTS.duplicate({ nodeCount: 3, redundancy: 3 }), false)).toBe(
    0,
  );
});

import { PsgdError } from "../errors.js";
import type { NodeId } from "../ids.js";
import { assignmentFrom, requirePossible, type AssignmentRule } from "./assignment.js";

/** More blocks than this per batch are refused: C(n, r) explodes. */
const MAX_BLOCK_COUNT = 4096;

/**
 * One block for every set of `redundancy` nodes: C(n, r) blocks, each held by exactly those nodes.
 * @throws {PsgdError} ASSIGNMENT_INVALID if the numbers are impossible or make more than MAX_BLOCK_COUNT blocks
 */
export const iidAssignment: AssignmentRule = ({ nodeCount, redundancy }) => {
  requirePossible(nodeCount, redundancy);
  const blockCount = binomial(nodeCount, redundancy);
  if (blockCount > MAX_BLOCK_COUNT) {
    throw new PsgdError(
      "ASSIGNMENT_INVALID",
      `iid assignment: expected at most ${MAX_BLOCK_COUNT} blocks, got C(${nodeCount}, ${redundancy}) = ${blockCount}; ` +
        "lower `--redundancy` or use `--block-assignment duplicate`",
    );
  }
  return assignmentFrom(nodeCount, redundancy, [...combinations(nodeCount, redundancy)]);
};

function binomial(n: number, r: number): number {
  let value = 1;
  for (let i = 1; i <= Math.min(r, n - r); i++) value = (value * (n - i + 1)) / i;
  return Math.round(value);
}

/** All ascending r-subsets of 0 … n − 1 in lexicographic order. */
function* combinations(n: number, r: number): Generator<NodeId[]> {
  let current = Array.from({ length: r }, (_, place) => place);
  for (;;) {
    yield current;
    let movable = r - 1;
    while (movable >= 0 && current[movable] === n - r + movable) movable--;
    if (movable < 0) return;
    const moved = current[movable]! + 1;
    const last = movable;
    current = current.map((node, place) => (place < last ? node : moved + place - last));
  }
}

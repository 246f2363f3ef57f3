import { PsgdError } from "../errors.js";
import {
  MAX_BLOCK_COUNT,
  assignmentFrom,
  requirePossible,
  type AssignmentRule,
} from "./assignment.js";

/**
 * n / r blocks; each group of r neighbouring nodes computes the same block.
 * @throws {PsgdError} ASSIGNMENT_INVALID if the numbers are impossible, n is not divisible by r, or there would be more
 *   than MAX_BLOCK_COUNT blocks
 */
export const duplicateAssignment: AssignmentRule = ({ nodeCount, redundancy }) => {
  requirePossible(nodeCount, redundancy);
  if (nodeCount % redundancy !== 0) {
    throw new PsgdError(
      "ASSIGNMENT_INVALID",
      `duplicate assignment: expected a node count divisible by the redundancy ${redundancy}, got ${nodeCount}; ` +
        `use ${nodeCount - (nodeCount % redundancy)} or ${nodeCount + redundancy - (nodeCount % redundancy)} nodes, or \`--block-assignment iid\``,
    );
  }
  const blockCount = nodeCount / redundancy;
  if (blockCount > MAX_BLOCK_COUNT) {
    throw new PsgdError(
      "ASSIGNMENT_INVALID",
      `duplicate assignment: expected at most ${MAX_BLOCK_COUNT} blocks, got ${nodeCount} / ${redundancy} = ${blockCount}; ` +
        "lower `--node-count`",
    );
  }
  const groups = Array.from({ length: blockCount }, (_, group) =>
    Array.from({ length: redundancy }, (_, member) => group * redundancy + member),
  );
  return assignmentFrom(nodeCount, redundancy, groups);
};

import { PsgdError } from "../errors.js";
import { assignmentFrom, requirePossible, type AssignmentRule } from "./assignment.js";

/**
 * n / r blocks; each group of r neighbouring nodes computes the same block.
 * @throws {PsgdError} ASSIGNMENT_INVALID if the numbers are impossible or n is not divisible by r
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
  const groups = Array.from({ length: nodeCount / redundancy }, (_, group) =>
    Array.from({ length: redundancy }, (_, member) => group * redundancy + member),
  );
  return assignmentFrom(nodeCount, redundancy, groups);
};

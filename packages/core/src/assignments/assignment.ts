import { PsgdError } from "../errors.js";
import type { BlockId, NodeId } from "../ids.js";

/** Which nodes compute which blocks of every batch. The two tables are inverse to each other. */
export interface BlockAssignment {
  readonly nodeCount: number;
  readonly redundancy: number;
  readonly blockCount: number;
  /** By block id: the nodes that compute it, ascending; `redundancy` of them. */
  readonly blockToNodes: readonly (readonly NodeId[])[];
  /** By node id: the blocks it computes, ascending; never none. */
  readonly nodeToBlocks: readonly (readonly BlockId[])[];
}

/** A rule that makes an assignment, or refuses the numbers with ASSIGNMENT_INVALID. */
export type AssignmentRule = (size: { nodeCount: number; redundancy: number }) => BlockAssignment;

/** The two tables take space and time for each pair of node and block: a mistyped number must not exhaust the machine. */
const MAX_NODE_COUNT = 4096;

/** Completes an assignment from the nodes of each block. */
export function assignmentFrom(
  nodeCount: number,
  redundancy: number,
  blockToNodes: readonly (readonly NodeId[])[],
): BlockAssignment {
  const nodeToBlocks = Array.from({ length: nodeCount }, (): BlockId[] => []);
  for (const [block, nodes] of blockToNodes.entries()) {
    for (const node of nodes) nodeToBlocks[node]!.push(block);
  }
  return { nodeCount, redundancy, blockCount: blockToNodes.length, blockToNodes, nodeToBlocks };
}

/**
 * Asserts what every rule needs.
 * @throws {PsgdError} ASSIGNMENT_INVALID unless 1 ≤ redundancy ≤ nodeCount ≤ MAX_NODE_COUNT, both whole
 */
export function requirePossible(nodeCount: number, redundancy: number): void {
  if (!Number.isInteger(nodeCount) || nodeCount < 1 || nodeCount > MAX_NODE_COUNT) {
    throw new PsgdError(
      "ASSIGNMENT_INVALID",
      `node count: expected a whole number from 1 to ${MAX_NODE_COUNT}, got ${nodeCount}`,
    );
  }
  if (!Number.isInteger(redundancy) || redundancy < 1 || redundancy > nodeCount) {
    throw new PsgdError(
      "ASSIGNMENT_INVALID",
      `redundancy: expected a whole number from 1 to the node count ${nodeCount}, got ${redundancy}; ` +
        "lower `--redundancy` or add nodes",
    );
  }
}

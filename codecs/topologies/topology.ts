import type { NodeId } from "@psgd/core";

/** Who sends to whom. A pure value; steps matter where the graph changes. */
export interface Topology {
  readonly name: string;
  readonly nodeCount: number;
  /** Steps after which it repeats; 1 if it never changes. */
  readonly period: number;
  /** Whom a node sends to in a step, ascending, without itself. */
  neighbours(node: NodeId, step: number): readonly NodeId[];
}

/** A graph that never changes, from its lists of neighbours. */
export function staticTopology(
  name: string,
  nodeCount: number,
  neighboursOf: (node: NodeId) => Iterable<NodeId>,
): Topology {
  const lists = Array.from({ length: nodeCount }, (_, node) =>
    [...new Set(neighboursOf(node))].filter((other) => other !== node).sort((a, b) => a - b),
  );
  return { name, nodeCount, period: 1, neighbours: (node) => lists[node] };
}

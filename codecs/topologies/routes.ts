import { PsgdError, type NodeId } from "@psgd/core";
import type { Topology } from "./topology.js";

/** Where a node passes on what comes from `origin`: as origin itself, to the first; to nobody, if it is the last. */
export type Routes = (origin: NodeId, at: NodeId) => readonly NodeId[];

/**
 * Ways on which everything that a node sends comes to each other node once: a tree for each origin, found by breadth, so
 * that each way is as short as the graph allows.
 *
 * @throws {PsgdError} SETTINGS_INVALID if the graph changes from step to step
 */
export function routesOver(topology: Topology): Routes {
  if (topology.period !== 1) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `parameter \`topology\`: expected a graph that stays the same, got ${topology.name}; what is passed on must find its way in each step`,
    );
  }
  const trees = Array.from({ length: topology.nodeCount }, (_, origin) =>
    treeFrom(topology, origin),
  );
  return (origin, at) => trees[origin][at];
}

/** By node: steps from the origin to it. */
export function reachedFrom(topology: Topology, origin: NodeId): ReadonlyMap<NodeId, number> {
  const distances = new Map([[origin, 0]]);
  // A map may grow while it is walked through: new nodes come after those before them.
  for (const [node, distance] of distances)
    for (const next of topology.neighbours(node, 0))
      if (!distances.has(next)) distances.set(next, distance + 1);
  return distances;
}

function treeFrom(topology: Topology, origin: NodeId): readonly (readonly NodeId[])[] {
  const children: NodeId[][] = Array.from({ length: topology.nodeCount }, () => []);
  const found = new Set([origin]);
  for (const node of found) {
    for (const next of topology.neighbours(node, 0)) {
      if (found.has(next)) continue;
      found.add(next);
      children[node].push(next);
    }
  }
  return children;
}

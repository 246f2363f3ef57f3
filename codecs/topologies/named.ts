import { PsgdError } from "@psgd/core";
import { reachedFrom } from "./routes.js";
import { exponential, hierarchical, mesh, onePeer, ring, star } from "./shapes.js";
import { staticTopology, type Topology } from "./topology.js";

const SHAPES = { mesh, star, ring, exponential, "one-peer": onePeer } as const;

/**
 * A topology as a parameter of a job gives it: a name, `hierarchical:GROUP_SIZE`, or a graph as JSON: for each node the list
 * of those it sends to, as in `[[1],[2],[0]]`.
 *
 * @throws {PsgdError} SETTINGS_INVALID if it is none, or does not bring what one node sends to all others
 */
export function topologyNamed(text: string, nodeCount: number): Topology {
  const shape = Object.entries(SHAPES).find(([name]) => name === text)?.[1];
  if (shape !== undefined) return shape(nodeCount);
  const groupSize = /^hierarchical:(\d+)$/.exec(text)?.[1];
  if (groupSize !== undefined && Number(groupSize) >= 1)
    return hierarchical(nodeCount, Number(groupSize));
  const lists = text.startsWith("[") ? parsed(text) : undefined;
  if (lists === undefined)
    throw wrong(
      `one of ${Object.keys(SHAPES).join(", ")}, hierarchical:N, or a graph as JSON`,
      text,
    );
  return graphOf(lists, nodeCount);
}

function graphOf(lists: unknown, nodeCount: number): Topology {
  if (!Array.isArray(lists) || lists.length !== nodeCount) {
    const got = Array.isArray(lists) ? `${lists.length}` : typeof lists;
    throw wrong(`a list of ${nodeCount} lists, one for each node`, got);
  }
  for (const [node, list] of (lists as unknown[]).entries()) {
    const isList =
      Array.isArray(list) &&
      list.every((id) => Number.isInteger(id) && id >= 0 && id < nodeCount && id !== node);
    if (!isList)
      throw wrong(
        `ids of other nodes from 0 to ${nodeCount - 1} in list ${node}`,
        JSON.stringify(list),
      );
  }
  const topology = staticTopology("graph", nodeCount, (node) => (lists as number[][])[node]);
  for (let node = 0; node < nodeCount; node++) {
    const reached = reachedFrom(topology, node);
    const lost = lists.findIndex((_, other) => !reached.has(other));
    if (lost >= 0)
      throw wrong(
        "a graph in which every node reaches all others",
        `no way from ${node} to ${lost}`,
      );
  }
  return topology;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `parameter \`topology\`: expected a graph as JSON, got ${(cause as Error).message}`,
      { cause },
    );
  }
}

function wrong(expected: string, got: string): PsgdError {
  return new PsgdError(
    "SETTINGS_INVALID",
    `parameter \`topology\`: expected ${expected}, got ${got}; set it with \`--param topology=ring\``,
  );
}

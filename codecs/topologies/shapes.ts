import type { NodeId } from "@psgd/core";
import { staticTopology, type Topology } from "./topology.js";

const modulo = (a: number, n: number): number => ((a % n) + n) % n;

/** All nodes and one in the middle, node 0. */
export function star(nodeCount: number): Topology {
  return staticTopology("star", nodeCount, (node) => (node === 0 ? range(nodeCount) : [0]));
}

/** Everybody and everybody else. */
export function mesh(nodeCount: number): Topology {
  return staticTopology("mesh", nodeCount, () => range(nodeCount));
}

/** Each node and the two beside it. */
export function ring(nodeCount: number): Topology {
  return staticTopology("ring", nodeCount, (node) => [
    modulo(node - 1, nodeCount),
    modulo(node + 1, nodeCount),
  ]);
}

/** Each node sends 1, 2, 4, 8 … places ahead: few neighbours, and everybody is reached in log₂ n steps. */
export function exponential(nodeCount: number): Topology {
  const hops = hopsOf(nodeCount);
  return staticTopology("exponential", nodeCount, (node) =>
    hops.map((hop) => modulo(node + hop, nodeCount)),
  );
}

/** The exponential graph with one neighbour at a time: in step t 2^(t mod log₂ n) places ahead (Assran et al. 2019). */
export function onePeer(nodeCount: number): Topology {
  const hops = hopsOf(nodeCount);
  return {
    name: "one-peer",
    nodeCount,
    period: Math.max(1, hops.length),
    neighbours: (node, step) =>
      hops.length === 0 ? [] : [modulo(node + hops[step % hops.length], nodeCount)],
  };
}

/** Groups of nodes that know each other, whose first members do, too. */
export function hierarchical(nodeCount: number, groupSize: number): Topology {
  return staticTopology(`hierarchical:${groupSize}`, nodeCount, (node) => {
    const leader = node - (node % groupSize);
    const group = range(nodeCount).slice(leader, leader + groupSize);
    const leaders = range(nodeCount).filter((other) => other % groupSize === 0);
    return node === leader ? [...group, ...leaders] : group;
  });
}

function hopsOf(nodeCount: number): readonly number[] {
  const hops: number[] = [];
  for (let hop = 1; hop < nodeCount; hop *= 2) hops.push(hop);
  return hops;
}

function range(count: number): NodeId[] {
  return Array.from({ length: count }, (_, index) => index);
}

import { ASSIGNMENTS, PARAMETER_SERVER, createSettings, type NodeId } from "@psgd/core";
import { expect, it } from "vitest";
import { explainWaits, type NodeView } from "./wait-for.js";

const settings = createSettings({
  assignment: ASSIGNMENTS.iid({ nodeCount: 3, redundancy: 1 }),
  batchSize: 1,
  stepCount: 9,
  parameters: {},
});

/** @param heard - by peer: the steps it has messages of */
function node(
  nodeId: NodeId,
  step: number,
  heard: Readonly<Record<number, readonly number[]>>,
): NodeView {
  const byPeer = Object.entries(heard).map(
    ([peer, steps]) => [Number(peer), new Set(steps)] as const,
  );
  return { nodeId, step, isWaiting: true, heard: new Map(byPeer) };
}

it("names the block, its node and what was heard of it last", () => {
  const nodes = [node(2, 3, { 0: [0, 1], 1: [0, 1, 2, 3] })];
  expect(explainWaits(nodes, settings)).toEqual([
    "node 2 waits in step 3 for block 0 of node 0, last heard of step 1",
  ]);
});

it("says when a node has all it could wait for", () => {
  const nodes = [node(0, 1, { 1: [1], 2: [0, 1] })];
  expect(explainWaits(nodes, settings)).toEqual([
    "node 0 waits in step 1, though it has heard of every block of that step",
  ]);
});

it("finds the ring in which nodes wait for each other, and none where there is none", () => {
  const ring = [
    node(0, 1, { 1: [0], 2: [1] }),
    node(1, 1, { 0: [1], 2: [0] }),
    node(2, 1, { 1: [1] }),
  ];
  expect(explainWaits(ring, settings)).toContain(
    "they wait for each other: node 0 → node 1 → node 2 → node 0",
  );
  const chain = [node(0, 1, { 1: [0], 2: [1] }), node(1, 1, { 0: [1], 2: [0] })];
  expect(explainWaits(chain, settings)).toHaveLength(2);
});

it("names the nodes that a parameter server has not heard", () => {
  const nodes = [
    node(0, 2, { [PARAMETER_SERVER]: [0, 1] }),
    node(PARAMETER_SERVER, 0, { 0: [1, 2], 1: [1] }),
  ];
  expect(explainWaits(nodes, settings)).toEqual([
    "node 0 waits in step 2 for the parameter server, last heard of step 1; that has heard of this step nothing from node 1, node 2",
  ]);
});

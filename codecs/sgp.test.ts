import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { Sgp } from "./sgp.js";
import { topologyNamed, type Topology } from "./topologies/index.js";
import { Cluster, answerOf, inEveryOrder, shuffled } from "./testing/cluster.js";

const gaussian = (label: string, size: number): number[] => {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => Math.fround(random.normal()));
};

/** shares[i][j]: what node i gets of node j, which deals out equal parts to itself and to those it sends to. */
const equalShares = (topology: Topology, step: number): number[][] => {
  const nodes = Array.from({ length: topology.nodeCount }, (_, node) => node);
  const lists = nodes.map((node) => topology.neighbours(node, step));
  return nodes.map((i) =>
    nodes.map((j) => (i === j || lists[j].includes(i) ? 1 / (1 + lists[j].length) : 0)),
  );
};

/** Two-way streets between nodes with 2, 2, 3 and 1 neighbours. */
const UNEVEN = "[[1,2],[0,2],[0,1,3],[2]]";

describe("SGP", () => {
  it.each([
    ["one-peer", 8],
    ["one-peer", 5],
    ["exponential", 6],
    ["[[1],[2,3],[0],[0]]", 4],
    [UNEVEN, 4],
    ["hierarchical:3", 6],
  ] as const)(
    "pushes sums: x ← A (x + s), p ← A p, z = x / p (%s, %i nodes)",
    (name, nodeCount) => {
      const topology = topologyNamed(name, nodeCount);
      const cluster = new Cluster({ codec: Sgp, nodeCount, parameters: { topology: name } });
      const start = Array.from({ length: nodeCount }, (_, node) => gaussian(`start ${node}`, 3));
      let x = start;
      let p = start.map(() => 1);
      let z = start;
      for (let step = 0; step < 12; step++) {
        for (const [node, model] of z.entries()) cluster.weightsOf(node).set(model);
        const matrix = equalShares(topology, step);
        const steps = z.map((_, node) =>
          gaussian(`${node}/${step}`, 3).map((value) => 0.1 * value),
        );
        const pushed = x.map((values, node) => values.map((value, k) => value + steps[node][k]));
        x = x.map((_, i) =>
          [0, 1, 2].map((k) => matrix[i].reduce((sum, a, j) => sum + a * pushed[j][k], 0)),
        );
        p = p.map((_, i) => matrix[i].reduce((sum, a, j) => sum + a * p[j], 0));
        const input = z.map((values, node) => values.map((value, k) => value + steps[node][k]));
        const results = cluster.runStep(step, ({ node }) => input[node], shuffled(`${step}`));
        for (const [node, result] of results.entries())
          for (const [k, value] of result!.entries())
            expect(value, `step ${step}`).toBeCloseTo(x[node][k] / p[node], 3);
        z = results.map((result) => [...result!]);
      }
      expect(p.reduce((sum, value) => sum + value)).toBeCloseTo(nodeCount, 9);
    },
  );

  it.each([
    ["one-peer", 5],
    ["hierarchical:3", 6],
    [UNEVEN, 4],
  ] as const)("keeps the sums of x and p for hundreds of steps (%s, %i nodes)", (topology, n) => {
    const parameters = { topology };
    const cluster = new Cluster({ codec: Sgp, nodeCount: n, parameters, stepCount: 1000 });
    let models = Array.from({ length: n }, (_, node) => [node, 0, 1]);
    for (let step = 0; step < 300; step++) {
      for (const [node, model] of models.entries()) cluster.weightsOf(node).set(model);
      // Every node moves its second value by 1 in each step, so all together do.
      models = cluster
        .runStep(step, ({ node }) => [models[node][0], models[node][1] + 1, models[node][2]])
        .map((result) => [...result!]);
    }
    const states = cluster.nodes.map((node) => node.exportState() as { x: number[]; p: number });
    expect(states.reduce((sum, { p }) => sum + p, 0)).toBeCloseTo(n, 9);
    // Sums in single precision, 300 times: 300 ulps of the largest value are 0.01.
    for (const [k, sum] of [(n * (n - 1)) / 2, 300 * n, n].entries())
      expect(states.reduce((all, { x }) => all + x[k], 0)).toBeCloseTo(sum, 1);
    for (const model of models) expect(model[1]).toBeCloseTo(300, 0);
  });

  it("ends the job with one model, the mean of all, in every order", () => {
    inEveryOrder((pick) => {
      const cluster = new Cluster({ codec: Sgp, nodeCount: 3, stepCount: 1 });
      for (const result of cluster.runStep(0, ({ node }) => [3 * node, 6, 0], pick))
        for (const [k, value] of result!.entries()) expect(value).toBeCloseTo([3, 6, 0][k], 5);
    });
  });

  it("sends one model a node and step", () => {
    const cluster = new Cluster({ codec: Sgp, nodeCount: 8 });
    cluster.runStep(0, () => [1, 1, 1]);
    expect(cluster.sentVectorBytes).toBe(4 * 3 * 8);
  });

  it.each([
    [
      [7, 0, new Float32Array(3), -1],
      "weight of node 7: expected a number above 0 and at most 8, got -1",
    ],
    [[7, 0, new Float32Array(3), "1"], "weight of node 7: expected a number"],
    [
      [7, 1e9, new Float32Array(3), 1],
      "step: expected a whole number from 0 to 99, got 1000000000",
    ],
    [[3, 0, new Float32Array(3), 1], "sender: expected one of 1"],
  ])("refuses malformed content %#", (content, text) => {
    const cluster = new Cluster({ codec: Sgp, nodeCount: 8 });
    expect(() => answerOf(cluster.nodes[0], content)).toThrow(text);
  });
});

describeCodec("sgp.Sgp", Sgp, { nodeCount: 4, seedCount: 60 });

import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { DPsgd } from "./d_psgd.js";
import { mixingMatrix, topologyNamed } from "./topologies/index.js";
import { Cluster, answerOf, inEveryOrder, shuffled } from "./testing/cluster.js";

const gaussian = (label: string, size: number): number[] => {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => Math.fround(random.normal()));
};

describe("D-PSGD", () => {
  it.each(["ring", "star", "mesh", "hierarchical:2", "[[1,2],[0],[0,3],[2,4],[3]]"])(
    "mixes with its neighbours and adds its own step: W w + s (%s)",
    (topology) => {
      const nodeCount = 5;
      const cluster = new Cluster({ codec: DPsgd, nodeCount, parameters: { topology } });
      const matrix = mixingMatrix(topologyNamed(topology, nodeCount), 0);
      let models = Array.from({ length: nodeCount }, (_, node) => gaussian(`start ${node}`, 3));
      for (let step = 0; step < 8; step++) {
        for (const [node, model] of models.entries()) cluster.weightsOf(node).set(model);
        const steps = models.map((_, node) => gaussian(`${node}/${step}`, 3));
        const expected = models.map((_, i) =>
          [0, 1, 2].map((k) =>
            matrix[i].reduce((sum, w, j) => sum + w * models[j][k], steps[i][k]),
          ),
        );
        const results = cluster.runStep(
          step,
          ({ node }) => models[node].map((value, k) => value + steps[node][k]),
          shuffled(`${step}`),
        );
        for (const [node, result] of results.entries())
          for (const [k, value] of result!.entries())
            expect(value).toBeCloseTo(expected[node][k], 4);
        models = results.map((result) => [...result!]);
      }
    },
  );

  it("ends the job with one model, the mean of all, in every order", () => {
    inEveryOrder((pick) => {
      const cluster = new Cluster({ codec: DPsgd, nodeCount: 3, stepCount: 1 });
      for (const result of cluster.runStep(0, ({ node }) => [2 ** node, node, 1], pick))
        expect([...result!]).toEqual([Math.fround(7 / 3), 1, 1]);
    });
  });

  it("sends to neighbours only", () => {
    const cluster = new Cluster({ codec: DPsgd, nodeCount: 6 });
    cluster.runStep(0, () => [1, 1, 1]);
    for (const { from, to } of cluster.sent) expect([1, 5]).toContain((to - from + 6) % 6);
    expect(cluster.sentVectorBytes).toBe(8 * 3 * 6);
  });

  it("refuses graphs of one-way streets", () => {
    const create = (): Cluster =>
      new Cluster({ codec: DPsgd, nodeCount: 4, parameters: { topology: "one-peer" } });
    expect(create).toThrow("expected a graph that stays the same with ways in both directions");
  });

  it.each([
    [null, "expected a list of 3"],
    [[1, 0.5, new Float32Array(3)], "step: expected a whole number from 0"],
    [[1, 1e9, new Float32Array(3)], "step: expected a whole number from 0 to 99, got 1000000000"],
    [[2, 0, new Float32Array(3)], "neighbour: expected one of 2 ids"],
    [[1, 0, new Float32Array(4)], "weights of node 1: expected 3 values, got 4"],
  ])("refuses malformed content %#", (content, text) => {
    const cluster = new Cluster({ codec: DPsgd, nodeCount: 5 });
    expect(() => answerOf(cluster.nodes[0], content)).toThrow(text);
  });
});

describeCodec("d_psgd.DPsgd", DPsgd, { nodeCount: 5, seedCount: 60 });

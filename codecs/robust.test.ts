import { SILENT, type Logger } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { RobustClient, RobustServer } from "./robust.js";
import { Cluster, answerOf, inEveryOrder, shuffled } from "./testing/cluster.js";

function job(aggregator: string, nodeCount = 5, parameters = {}, log: Logger = SILENT): Cluster {
  return new Cluster({
    ...{ codec: RobustClient, server: RobustServer, nodeCount, log },
    parameters: { aggregator, ...parameters },
  });
}

describe("the robust server", () => {
  it.each(["median", "trimmed_mean", "krum", "multi_krum", "geometric_median"])(
    "is not moved by one node that lies: %s",
    (aggregator) => {
      for (const lie of [1e9, -1e9, NaN, Infinity]) {
        const cluster = job(aggregator);
        for (let step = 0; step < 3; step++) {
          const input = ({ node }: { node: number }): number[] =>
            node === step ? [lie, lie, lie] : [1, 2, 3 + 0.01 * node];
          for (const result of cluster.runStep(step, input, shuffled(`${step}`)))
            for (const [i, value] of result!.entries())
              expect(Math.abs(value - [1, 2, 3][i]), `${lie}`).toBeLessThan(0.1);
        }
      }
    },
  );

  it("gives all nodes the median, in every order", () => {
    inEveryOrder((pick) => {
      const cluster = job("median", 3);
      for (const result of cluster.runStep(0, ({ node }) => [node ** 3, -node, 7], pick))
        expect([...result!]).toEqual([1, -1, 7]);
    });
  });

  it.each(["mean", "median", "multi_krum", "geometric_median"])(
    "counts only those that sent finite numbers: %s",
    (aggregator) => {
      const warnings: string[] = [];
      const log = { ...SILENT, warn: (text: string) => void warnings.push(text) };
      const cluster = job(aggregator, 5, { chosen: 5 - 1 }, log);
      // The mean, median and centre of 2, 4, 6 and 8 is 5: a zero in the place of what is missing would show.
      const results = cluster.runStep(0, ({ node }) => [node === 0 ? NaN : 2 * node, 0, 0]);
      for (const result of results) expect(result![0]).toBeCloseTo(5, 5);
      expect(warnings).toEqual([
        "node 0 is left out of step 0: NOT_FINITE: contribution of node 0: expected finite numbers, got NaN at 0",
      ]);
    },
  );

  it("goes on when a node claims to be at a later step, in every order", () => {
    const lie = [2, Float32Array.of(1e9, 1e9, 1e9), 1_000_000];
    inEveryOrder((pick) => {
      const cluster = job("median", 3);
      expect(answerOf(cluster.server, lie)).toBeUndefined();
      // Of node 2 no gradient counts any more: of 1 and 3 the median is 2.
      const input = ({ node }: { node: number }): number[] => [1 + 2 * node, -1, 0];
      for (const result of cluster.runStep(0, input, pick, { atBarrier: true }))
        expect([...result!]).toEqual([2, -1, 0]);
    });
    const cluster = job("median", 3);
    answerOf(cluster.server, lie);
    for (let step = 0; step < 5; step++)
      for (const result of cluster.runStep(step, ({ node }) => [step + 2 * node, 0, 0]))
        expect([...result!]).toEqual([step + 1, 0, 0]);
  });

  it("takes the first that a node sends in a step", () => {
    const cluster = job("mean", 3, { byzantine: 0 });
    for (const [node, value] of [
      [0, 3],
      [1, 6],
      [0, 300],
    ])
      answerOf(cluster.server, [node, new Float32Array(3).fill(value), 0]);
    const answer = answerOf(cluster.server, [2, new Float32Array(3), 0]);
    expect(answer!.content).toEqual([Float32Array.of(3, 3, 3), 0]);
  });

  it("exports copies", () => {
    const { server } = job("mean", 2, { byzantine: 0 });
    answerOf(server, [0, Float32Array.of(2, 2, 2), 0]);
    const state = server!.exportState() as {
      contributions: Map<number, { gradient: Float32Array }>;
    };
    state.contributions.get(0)!.gradient.fill(9);
    const answer = answerOf(server, [1, Float32Array.of(4, 4, 4), 0]);
    expect(answer!.content).toEqual([Float32Array.of(3, 3, 3), 0]);
  });

  it.each([
    [undefined, "expected a list of 3"],
    [[5, new Float32Array(3), 0], "node id: expected one of 5 ids from 0, got 5"],
    [[0, new Float32Array(4), 0], "SHAPE_MISMATCH"],
    [[0, "gradient", 0], "gradient of node 0: expected a Float32Array"],
    [[0, new Float32Array(3), -1], "step: expected a whole number from 0"],
  ])("refuses malformed content %#", (content, text) => {
    expect(() => answerOf(job("median").server, content)).toThrow(text);
  });

  it("sends the bytes that its header says", () => {
    const cluster = job("median", 4);
    cluster.runStep(0, () => [1, 2, 3]);
    expect(cluster.sentVectorBytes).toBe(8 * 3 * 4);
  });

  it("fails when more nodes send no finite numbers than may lie", () => {
    const cluster = job("median");
    expect(() => cluster.runStep(0, ({ node }) => [node < 2 ? NaN : 1, 0, 0])).toThrow(
      "NOT_FINITE: gradients of step 0: expected finite ones of all nodes but 1, got 3 of 5",
    );
  });

  it("says how many nodes it needs", () => {
    expect(() => job("krum", 4)).toThrow(
      "krum: expected at least 5 nodes to stand 1 that lie, got 4; lower `--param byzantine` or add nodes",
    );
  });
});

describeCodec("robust.RobustClient, median", RobustClient, {
  // So that it runs with one and two nodes, too.
  parameters: { byzantine: 0 },
  seedCount: 60,
});

describeCodec("robust.RobustClient, median", RobustClient, {
  ...{ sync: "asgd", parameters: { byzantine: 0 }, seedCount: 60 },
});

const one =
  "it takes the gradient of one node, and in the kit those of the nodes have nothing in common";
describeCodec("robust.RobustClient, Krum", RobustClient, {
  nodeCount: 5,
  parameters: { aggregator: "krum" },
  seedCount: 60,
  allowed: {
    mean: one,
    contraction: one,
    feedback: one,
    convergence: one,
  },
});

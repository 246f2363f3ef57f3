import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { RobustClient, RobustServer } from "./robust.js";
import { Cluster, inEveryOrder, shuffled } from "./testing/cluster.js";

function job(aggregator: string, nodeCount = 5, parameters = {}): Cluster {
  return new Cluster({
    ...{ codec: RobustClient, server: RobustServer, nodeCount },
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
    network: "the simulated cluster has jobs of fewer nodes than it needs",
  },
});

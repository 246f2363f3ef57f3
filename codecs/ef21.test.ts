import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { Ef21 } from "./ef21.js";
import { Cluster, inEveryOrder, shuffled } from "./testing/cluster.js";

const input = ({ node, step }: { node: number; step: number }): number[] => {
  const random = seededRandom(`${node}/${step}`);
  return Array.from({ length: 10 }, () => Math.fround(random.normal()));
};

describe("EF21", () => {
  it("takes the steps of Algorithm 2", () => {
    const cluster = new Cluster({
      ...{ codec: Ef21, nodeCount: 3, size: 10 },
      parameters: { fraction: 0.2 },
    });
    const h = [0, 1, 2].map(() => new Array<number>(10).fill(0));
    for (let step = 0; step < 12; step++) {
      for (const node of [0, 1, 2]) {
        const change = input({ node, step }).map((g, i) => g - h[node][i]);
        const largest = change
          .map((_, i) => i)
          .sort((a, b) => Math.abs(change[b]) - Math.abs(change[a]));
        for (const i of largest.slice(0, 2)) h[node][i] += change[i];
      }
      for (const result of cluster.runStep(step, input, shuffled(`${step}`)))
        for (const [i, value] of result!.entries())
          expect(value).toBeCloseTo((h[0][i] + h[1][i] + h[2][i]) / 3, 5);
    }
  });

  it("knows a gradient that stays the same after d / k steps", () => {
    const cluster = new Cluster({
      ...{ codec: Ef21, nodeCount: 2, size: 10 },
      parameters: { fraction: 0.2 },
    });
    const same = ({ node }: { node: number }): number[] => input({ node, step: 0 });
    for (let step = 0; step < 4; step++) cluster.runStep(step, same);
    const [result] = cluster.runStep(4, same);
    for (const [i, value] of result!.entries())
      expect(value).toBeCloseTo((same({ node: 0 })[i] + same({ node: 1 })[i]) / 2, 6);
  });

  it("knows a gradient whatever becomes of the learning rate", () => {
    const cluster = new Cluster({
      ...{ codec: Ef21, nodeCount: 2, size: 10 },
      parameters: { fraction: 0.2 },
    });
    for (let step = 0; step < 10; step++) {
      cluster.learningRate = 0.05 / Math.sqrt(step + 1);
      const [result] = cluster.runStep(step, ({ node }) =>
        input({ node, step: 0 }).map((value) => cluster.learningRate * value),
      );
      if (step < 4) continue;
      for (const [i, value] of result!.entries()) {
        const mean = (input({ node: 0, step: 0 })[i] + input({ node: 1, step: 0 })[i]) / 2;
        expect(value, `step ${step}`).toBeCloseTo(cluster.learningRate * mean, 6);
      }
    }
  });

  it("gives all nodes the same bits, in every order", () => {
    const outcomes = new Set<string>();
    inEveryOrder((pick) => {
      const cluster = new Cluster({
        codec: Ef21,
        nodeCount: 3,
        size: 10,
        parameters: { fraction: 0.3 },
      });
      for (const result of cluster.runStep(0, input, pick)) outcomes.add([...result!].join());
    });
    expect(outcomes.size).toBe(1);
  });
});

describeCodec("ef21.Ef21", Ef21, { parameters: { fraction: 0.3 }, seedCount: 60 });

import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { Moshpit } from "./moshpit.js";
import { Cluster, answerOf, inEveryOrder, shuffled } from "./testing/cluster.js";

const gaussian = (label: string, size: number): number[] => {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => Math.fround(random.normal()));
};

describe("Moshpit", () => {
  it.each([
    [9, 3, 2],
    [8, 2, 3],
    [16, 4, 2],
  ])(
    "has the mean of all %i nodes after one round along each axis (groups of %i)",
    (n, size, axes) => {
      const cluster = new Cluster({
        codec: Moshpit,
        nodeCount: n,
        parameters: { group_size: size },
      });
      let models = Array.from({ length: n }, (_, node) => gaussian(`${node}`, 3));
      const mean = [0, 1, 2].map((k) => models.reduce((sum, model) => sum + model[k] / n, 0));
      for (let step = 0; step < axes; step++)
        models = cluster
          .runStep(step, ({ node }) => models[node], shuffled(`${step}`))
          .map((result) => [...result!]);
      for (const model of models)
        for (const [k, value] of model.entries()) expect(value).toBeCloseTo(mean[k], 5);
      expect(cluster.sentVectorBytes).toBe(axes * 4 * 3 * n * (size - 1));
    },
  );

  it("comes nearer and nearer where groups are not full", () => {
    const n = 7;
    const cluster = new Cluster({ codec: Moshpit, nodeCount: n, parameters: { group_size: 3 } });
    let models = Array.from({ length: n }, (_, node) => [node, -node, 0]);
    const spreads: number[] = [];
    for (let step = 0; step < 12; step++) {
      models = cluster.runStep(step, ({ node }) => models[node]).map((result) => [...result!]);
      const values = models.map(([value]) => value);
      spreads.push(Math.max(...values) - Math.min(...values));
    }
    expect(spreads.at(-1)).toBeLessThan(spreads[0] / 50);
  });

  it("goes on without a member that stays away", () => {
    const cluster = new Cluster({ codec: Moshpit, nodeCount: 3, parameters: { group_size: 3 } });
    cluster.update(0, 0, 0, [1, 1, 1]);
    cluster.update(1, 1, 0, [2, 2, 2]);
    for (const message of cluster.sent.slice()) if (message.to < 2) cluster.deliver(message);
    expect(cluster.nodes[0].hasResult).toBe(false);
    for (const node of [0, 1]) {
      void cluster.nodes[node].onSyncTimeout();
      expect([...cluster.nodes[node].takeResult()]).toEqual([1.5, 1.5, 1.5]);
    }
    // What comes now is of a step that is over.
    cluster.update(2, 2, 0, [9, 9, 9]);
    for (const message of cluster.sent.slice(-2)) cluster.deliver(message);
    expect(cluster.nodes[0].hasResult).toBe(false);
  });

  it("ends the job with one model, the mean of all, in every order", () => {
    inEveryOrder((pick) => {
      const parameters = { group_size: 2 };
      const cluster = new Cluster({ codec: Moshpit, nodeCount: 3, stepCount: 1, parameters });
      for (const result of cluster.runStep(0, ({ node }) => [2 ** node, node, 1], pick))
        expect([...result!]).toEqual([Math.fround(7 / 3), 1, 1]);
    });
  });

  it.each([1, -2, 2.5, NaN])("refuses groups of %d", (group_size) => {
    const create = (): Cluster =>
      new Cluster({ codec: Moshpit, nodeCount: 3, parameters: { group_size } });
    expect(create).toThrow("parameter `group_size`: expected a whole number from 2");
  });

  it.each([
    [null, "expected a list of 3"],
    [[1, -1, new Float32Array(3)], "step: expected a whole number from 0"],
    [[1, 1e9, new Float32Array(3)], "step: expected a whole number from 0 to 99, got 1000000000"],
    [[3, 0, new Float32Array(3)], "member of the group: expected one of 2 ids"],
    [[1, 0, [1, 2, 3]], "weights of node 1: expected a Float32Array"],
    [[1, 0, new Float32Array(2)], "weights of node 1: expected 3 values, got 2"],
  ])("refuses malformed content %#", (content, text) => {
    const parameters = { group_size: 2 };
    const cluster = new Cluster({ codec: Moshpit, nodeCount: 4, parameters });
    expect(() => answerOf(cluster.nodes[0], content)).toThrow(text);
  });
});

describeCodec("moshpit.Moshpit", Moshpit, {
  nodeCount: 4,
  parameters: { group_size: 2 },
  seedCount: 60,
});

import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { AdPsgd } from "./ad_psgd.js";
import { Cluster, answerOf, shuffled } from "./testing/cluster.js";

const gaussian = (label: string, size: number): number[] => {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => Math.fround(random.normal()));
};

describe("AD-PSGD", () => {
  it("keeps the sum of all models but for the steps, and brings them together", () => {
    const nodeCount = 5;
    const cluster = new Cluster({ codec: AdPsgd, nodeCount, size: 1 });
    let models = [10, -4, 7, 0, 2];
    for (const [node, model] of models.entries()) cluster.weightsOf(node).set([model]);
    let sum = 15;
    for (let step = 0; step < 60; step++) {
      // Training for a while, then only averaging; what comes out is what the next step begins with.
      const steps = models.map((_, node) => (step < 20 ? gaussian(`${node}/${step}`, 1)[0] : 0));
      const results = cluster.runStep(
        step,
        ({ node }) => [models[node] + steps[node]],
        shuffled(`${step}`),
      );
      models = results.map((result) => result![0]);
      for (const [node, model] of models.entries()) cluster.weightsOf(node).set([model]);
      sum += steps.reduce((all, value) => all + value);
    }
    // The last pulls of asked nodes show in their next step.
    const last = cluster.runStep(60, ({ node }) => [models[node]]).map((result) => result![0]);
    expect(last.reduce((all, value) => all + value)).toBeCloseTo(sum, 1);
    for (const model of last) expect(model).toBeCloseTo(sum / nodeCount, 0);
  });

  it("gives both the mean of the two", () => {
    const cluster = new Cluster({ codec: AdPsgd, nodeCount: 2, size: 1 });
    cluster.weightsOf(0).set([8]);
    cluster.weightsOf(1).set([2]);
    // Node 0 asks before node 1 has computed anything; then node 1 adds its step of 1.
    cluster.update(0, 0, 0, [8.5]);
    for (const message of [...cluster.sent]) cluster.deliver(message);
    for (const message of cluster.sent.slice(1)) cluster.deliver(message);
    expect(cluster.nodes[0].takeResult()[0]).toBe(5.5);
    cluster.update(1, 1, 0, [3]);
    expect(cluster.nodes[1].takeResult()[0]).toBe(6);
  });

  it("goes on alone when it gets no answer in time, and takes none that comes later for another", () => {
    const cluster = new Cluster({ codec: AdPsgd, nodeCount: 2, size: 1 });
    cluster.weightsOf(0).set([8]);
    cluster.weightsOf(1).set([2]);
    cluster.update(0, 0, 0, [8.5]);
    cluster.rescue(0);
    expect(cluster.nodes[0].takeResult()[0]).toBe(8.5);
    cluster.weightsOf(0).set([8.5]);
    cluster.update(0, 0, 1, [9]);
    const [first, second] = cluster.sent;
    cluster.deliver(first);
    cluster.deliver(cluster.sent[2]);
    expect(cluster.nodes[0].hasResult).toBe(false);
    // The late pull has brought node 1 from 2 to 5.
    cluster.deliver(second);
    cluster.deliver(cluster.sent[3]);
    expect(cluster.nodes[0].takeResult()[0]).toBe(9 + (5 - 8.5) / 2);
  });

  it("asks odd nodes only", () => {
    const cluster = new Cluster({ codec: AdPsgd, nodeCount: 6, size: 1 });
    for (let step = 0; step < 30; step++) cluster.runStep(step, () => [0]);
    const asked = cluster.sent.filter(({ content }) => (content as [string])[0] === "ask");
    expect(new Set(asked.map(({ to }) => to))).toEqual(new Set([1, 3, 5]));
    expect(new Set(asked.map(({ from }) => from))).toEqual(new Set([0, 2, 4]));
    expect(cluster.sentVectorBytes).toBe(30 * 3 * 8);
  });

  it.each([
    [null, "expected a list of 3"],
    [["ask", 3, 0, new Float32Array(1)], "asking node: expected one of 2 ids"],
    [["ask", 2, -1, new Float32Array(1)], "step: expected a whole number from 0"],
    [["ask", 2, 0, new Float32Array(2)], "weights of node 2: expected 1 values, got 2"],
    [["answer", 0, [1]], "weights of the node that was asked: expected a Float32Array"],
  ])("refuses malformed content %#", (content, text) => {
    const cluster = new Cluster({ codec: AdPsgd, nodeCount: 4, size: 1 });
    expect(() => answerOf(cluster.nodes[1], content)).toThrow(text);
  });
});

for (const sync of ["asgd", "ssp"] as const)
  describeCodec("ad_psgd.AdPsgd", AdPsgd, { sync, nodeCount: 4, seedCount: 60 });

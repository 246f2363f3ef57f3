import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { FedAsyncClient } from "./fedasync.js";
import { Cluster, answerOf } from "./testing/cluster.js";

function job(parameters = {}, nodeCount = 2): Cluster {
  return new Cluster({
    ...{ codec: FedAsyncClient, server: FedAsyncClient.server, nodeCount, size: 1 },
    parameters: { local_steps: 1, rho: 0, ...parameters },
  });
}

/** What the server answers to one who brings `weights` that come from `version`. */
function visit(cluster: Cluster, weights: number, version: number): [number, number] {
  const answer = answerOf(cluster.server, [0, Float32Array.of(weights), version])!;
  const [model, next] = answer.content as [Float32Array, number];
  return [model[0], next];
}

describe("FedAsync", () => {
  it.each([
    ["polynomial", (x: number) => 1 / Math.sqrt(x + 1)],
    ["hinge", (x: number) => (x <= 4 ? 1 : 1 / (10 * (x - 4) + 1))],
    ["constant", () => 1],
  ] as const)("mixes in the less the older: %s", (name, s) => {
    const cluster = job({ staleness_function: name, alpha: 0.5 });
    let x = 0;
    for (let t = 0; t < 12; t++) {
      // Who comes has the version of three rounds ago, later that of the beginning.
      const version = t < 6 ? Math.max(0, t - 3) : 0;
      const share = 0.5 * s(t - version);
      x = (1 - share) * x + share * (t + 1);
      const [model, next] = visit(cluster, t + 1, version);
      expect(model).toBeCloseTo(x, 4);
      expect(next).toBe(t + 1);
    }
  });

  it.each([
    [{ staleness_function: "polynomial", a: 2 }, (x: number) => (x + 1) ** -2],
    [{ staleness_function: "hinge", a: 3, b: 1 }, (x: number) => (x < 2 ? 1 : 1 / (3 * x - 2))],
  ])("is told by `a` and `b` how much the older count: %j", (parameters, s) => {
    for (const age of [0, 1, 2, 5]) {
      const cluster = job({ ...parameters, alpha: 0.5 });
      for (let t = 0; t < age; t++) visit(cluster, 0, t);
      expect(visit(cluster, 1, 0)[0], `${age} updates old`).toBeCloseTo(0.5 * s(age), 6);
    }
  });

  it("is local training with one client and alpha 1", () => {
    const cluster = job({ alpha: 1 }, 1);
    for (const [step, weights] of [3, -0.1, 7, 1e-9].entries())
      expect([...cluster.runStep(step, () => [weights])[0]!]).toEqual([Math.fround(weights)]);
  });

  it.each([0, -1, 1.5, NaN])("refuses an alpha of %d", (alpha) => {
    expect(() => job({ alpha })).toThrow(
      `parameter \`alpha\`: expected a number above 0, at most 1, got ${alpha}`,
    );
  });

  it("holds clients near the model that they began with", () => {
    const cluster = job({ local_steps: 100, rho: 2 });
    cluster.weightsOf(0).set([3]);
    cluster.runStep(0, () => [4]);
    cluster.weightsOf(0).set([4]);
    const [result] = cluster.runStep(1, () => [5]);
    // η ρ (w − wₛ) = 0.05 · 2 · (4 − 3).
    expect(result![0]).toBeCloseTo(5 - 0.1, 6);
  });

  it.each([
    [[0, new Float32Array(1)], "expected a list of 3"],
    [[0, new Float32Array(1), -1], "version of node 0: expected a whole number from 0"],
    [[0, new Float32Array(2), 0], "weights of node 0: expected 1 values, got 2"],
  ])("refuses malformed content %#", (content, text) => {
    expect(() => answerOf(job().server, content)).toThrow(text);
  });

  it("names the functions there are", () => {
    expect(() => job({ staleness_function: "linear" })).toThrow(
      'parameter `staleness_function`: expected "polynomial" or "hinge" or "constant", got "linear"',
    );
  });
});

for (const sync of ["asgd", "ssp"] as const)
  describeCodec("fedasync.FedAsyncClient", FedAsyncClient, {
    sync,
    parameters: { local_steps: 2 },
    seedCount: 60,
  });

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

  it("is local training with one client and alpha 1", () => {
    const cluster = job({ alpha: 1 });
    for (let step = 0; step < 4; step++) {
      const [result] = cluster.runStep(step, ({ node }) => [node === 0 ? step + 1 : 0]);
      if (step === 0) expect(result![0]).toBe(1);
    }
    expect(visit(cluster, 9, 100)[0]).toBe(9);
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

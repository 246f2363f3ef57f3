import {
  ASSIGNMENTS,
  PARAMETER_SERVER,
  SILENT,
  createSettings,
  layoutOf,
  seededRandom,
} from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { FedAvgClient } from "./fedavg.js";
import { FedProxClient } from "./fedprox.js";
import { federatedRounds } from "./testing/federation.js";

/** One client that trains on ½ (w − target)² for a round; the weights after each local step. */
function localSteps(mu: number, count: number, perRound = 500): number[] {
  const weights = Float32Array.of(2);
  const client = new FedProxClient({
    nodeId: 0,
    settings: createSettings({
      assignment: ASSIGNMENTS.iid({ nodeCount: 2, redundancy: 1 }),
      batchSize: 1,
      stepCount: 1000,
      parameters: { mu, local_steps: perRound },
      seed: 1,
    }),
    layout: layoutOf([{ name: "w", shape: [1] }]),
    random: seededRandom(1),
    log: SILENT,
    currentWeights: () => weights,
    learningRate: () => 0.1,
  });
  return Array.from({ length: count }, (_, step) => {
    const content = weights.map((value) => value - 0.1 * (value - 10));
    const block = { blockId: 0, content, step, sampleCount: 1, layout: client.layout };
    void client.updateBlocks(block);
    // The only one there is: the mean of all is its own.
    if ((step + 1) % perRound === 0) client.receiveBlocks([PARAMETER_SERVER, content, step]);
    weights.set(client.takeResult());
    return weights[0];
  });
}

describe("FedProxClient", () => {
  it("takes each local step by the formula", () => {
    let w = 2;
    for (const weight of localSteps(0.5, 20)) {
      w -= 0.1 * (w - 10) + 0.1 * 0.5 * (w - 2);
      expect(weight).toBeCloseTo(w, 5);
    }
  });

  it("comes to rest between its own minimum and the model of the round, as the proximal operator says", () => {
    // argmin ½ (w − 10)² + μ/2 (w − 2)² = (10 + 2 μ) / (1 + μ).
    expect(localSteps(3, 400).at(-1)).toBeCloseTo((10 + 2 * 3) / 4, 4);
  });

  it("trains freely with mu = 0", () => {
    expect(localSteps(0, 300).at(-1)).toBeCloseTo(10, 4);
  });

  it("is federated averaging with mu = 0, bit for bit", () => {
    const average = (mean: readonly number[]): readonly number[] => mean;
    const { models } = federatedRounds(FedProxClient, { mu: 0 }, average);
    expect(models).toEqual(federatedRounds(FedAvgClient, {}, average).models);
  });

  it("begins each round at the model that it got", () => {
    // One step of w ← w − η (w − 10) in the first of two steps of a round has no pull, whatever came before.
    const [first, second, third] = localSteps(0.5, 3, 2);
    expect(first).toBeCloseTo(2 + 0.1 * 8, 5);
    expect(second).toBeCloseTo(first + 0.1 * (10 - first) - 0.05 * (first - 2), 5);
    expect(third).toBeCloseTo(second + 0.1 * (10 - second), 5);
  });
});

describeCodec("fedprox.FedProxClient", FedProxClient, {
  parameters: { local_steps: 2, mu: 0.1 },
  seedCount: 60,
});

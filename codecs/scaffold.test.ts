import {
  ASSIGNMENTS,
  SILENT,
  createSettings,
  layoutOf,
  seededRandom,
  type CodecClass,
  type NetEncapsulation,
} from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { FedAvgClient } from "./fedavg.js";
import { ScaffoldClient } from "./scaffold.js";
import { Cluster, answerOf } from "./testing/cluster.js";

const RATE = 0.05;
/** Clients with quadratics ½ aᵢ (w − tᵢ)²: the minimum of their mean is Σ aᵢ tᵢ / Σ aᵢ. */
const CURVATURES = [1, 6, 2];
const TARGETS = [3, -1, 8];
const OPTIMUM =
  CURVATURES.reduce((sum, a, i) => sum + a * TARGETS[i], 0) /
  CURVATURES.reduce((sum, a) => sum + a);

/** Rounds of local gradient descent from 0. @returns the models of each round */
function train(codec: CodecClass, localSteps: number, rounds: number): number[] {
  const cluster = new Cluster({
    codec,
    server: codec.server!,
    nodeCount: 3,
    size: 1,
    stepCount: 1_000_000,
    parameters: { local_steps: localSteps },
  });
  const models: number[] = [];
  for (let step = 0; step < localSteps * rounds; step++) {
    const results = cluster.runStep(step, ({ node }) => {
      const [w] = cluster.weightsOf(node);
      return [w - RATE * CURVATURES[node] * (w - TARGETS[node])];
    });
    for (const [node, result] of results.entries()) cluster.weightsOf(node).set(result!);
    if ((step + 1) % localSteps === 0) models.push(results[0]![0]);
  }
  return models;
}

describe("SCAFFOLD", () => {
  it("takes its rounds by the formulas of Algorithm 1", () => {
    const localSteps = 4;
    let x = 0;
    let c = 0;
    const own = [0, 0, 0];
    for (const model of train(ScaffoldClient, localSteps, 6)) {
      const ends = CURVATURES.map((a, i) => {
        let y = x;
        for (let k = 0; k < localSteps; k++) y -= RATE * (a * (y - TARGETS[i]) - own[i] + c);
        return y;
      });
      const changes = ends.map((y, i) => (x - y) / (localSteps * RATE) - c + 0 * own[i]);
      for (const [i, change] of changes.entries()) own[i] += change;
      x += ends.reduce((sum, y) => sum + (y - x) / 3, 0);
      c += changes.reduce((sum, change) => sum + change / 3, 0);
      expect(model).toBeCloseTo(x, 4);
    }
  });

  it("comes to the optimum where federated averaging comes to rest beside it", () => {
    const localSteps = 40;
    // Client i shrinks its distance by sᵢ = (1 − η aᵢ)^K in a round: FedAvg rests where w = mean(tᵢ + sᵢ (w − tᵢ)).
    const shrink = CURVATURES.map((a) => (1 - RATE * a) ** localSteps);
    const rest =
      TARGETS.reduce((sum, t, i) => sum + (1 - shrink[i]) * t, 0) /
      shrink.reduce((sum, s) => sum + (1 - s), 0);
    expect(Math.abs(rest - OPTIMUM)).toBeGreaterThan(1);
    expect(train(FedAvgClient, localSteps, 60).at(-1)).toBeCloseTo(rest, 3);
    expect(train(ScaffoldClient, localSteps, 60).at(-1)).toBeCloseTo(OPTIMUM, 3);
  });

  it("tells the gradients from its way when the learning rate changes, or is 0 for a round", () => {
    const rates = [0.1, 0.02, 0, 0, 0.05, 0.1];
    const weights = Float32Array.of(0);
    let rate = 0;
    const client = new ScaffoldClient({
      nodeId: 0,
      settings: createSettings({
        assignment: ASSIGNMENTS.iid({ nodeCount: 2, redundancy: 1 }),
        batchSize: 1,
        stepCount: 1000,
        parameters: { local_steps: 2 },
        seed: 1,
      }),
      layout: layoutOf([{ name: "w", shape: [1] }]),
      random: seededRandom(1),
      log: SILENT,
      currentWeights: () => weights,
      learningRate: () => rate,
    });
    const changes: number[] = [];
    for (const [step, ofStep] of rates.entries()) {
      rate = ofStep;
      // The gradient is 4 everywhere, so that is what the client's control must come to be.
      const content = weights.map((value) => value - rate * 4);
      const block = { blockId: 0, content, step, sampleCount: 1, layout: client.layout };
      const sent = client.updateBlocks(block) as NetEncapsulation | undefined;
      if (sent !== undefined) {
        const [, model, change] = sent.content as [number, Float32Array, Float32Array];
        changes.push(change[0]);
        // Nobody else has seen a gradient: c stays 0.
        client.receiveBlocks([model.slice(), Float32Array.of(0), step]);
      }
      weights.set(client.takeResult());
    }
    // Once cᵢ is 4 it stays: a round without a way tells nothing, and the third sees 4 again.
    for (const [round, change] of changes.entries())
      expect(change).toBeCloseTo([4, 0, 0][round], 4);
  });

  it("refuses steps that the job has not", () => {
    const { server } = new Cluster({
      ...{ codec: ScaffoldClient, server: ScaffoldClient.server, nodeCount: 2, size: 1 },
      parameters: { local_steps: 1 },
    });
    const one = Float32Array.of(1);
    for (const step of [100, 1e9])
      expect(() => answerOf(server, [0, one, one, step])).toThrow(
        `WIRE_MALFORMED: step of node 0: expected a whole number from 0 to 99, got ${step}`,
      );
    // And the round is as it was.
    expect(answerOf(server, [0, one, one, 0])).toBeUndefined();
    expect(answerOf(server, [1, one, one, 0])?.targets).toEqual([0, 1]);
  });

  it("sends twice the bytes of federated averaging", () => {
    const cluster = new Cluster({
      ...{ codec: ScaffoldClient, server: ScaffoldClient.server, nodeCount: 4, size: 7 },
      parameters: { local_steps: 1 },
    });
    const random = seededRandom(1);
    cluster.runStep(0, () => Float32Array.from({ length: 7 }, () => random.normal()));
    expect(cluster.sentVectorBytes).toBe(16 * 7 * 4);
  });
});

describeCodec("scaffold.ScaffoldClient", ScaffoldClient, {
  parameters: { local_steps: 3 },
  seedCount: 60,
});

import { seededRandom, type CodecClass } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { FedAvgClient } from "./fedavg.js";
import { ScaffoldClient } from "./scaffold.js";
import { Cluster } from "./testing/cluster.js";

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

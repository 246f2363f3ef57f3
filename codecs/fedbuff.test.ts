import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { FedBuffClient } from "./fedbuff.js";
import { Cluster, answerOf } from "./testing/cluster.js";

function job(parameters = {}, nodeCount = 3): Cluster {
  return new Cluster({
    ...{ codec: FedBuffClient, server: FedBuffClient.server, nodeCount, size: 1 },
    parameters: { local_steps: 1, ...parameters },
  });
}

describe("FedBuff", () => {
  it("takes a step with every K ways, the less of each the staler it is", () => {
    const cluster = job({ buffer: 3, server_rate: 0.5 });
    let x = 0;
    let version = 0;
    let buffer: number[] = [];
    for (let t = 0; t < 15; t++) {
      const from = Math.max(0, version - (t % 3));
      buffer.push((t + 1) / Math.sqrt(1 + version - from));
      if (buffer.length === 3) {
        x -= (0.5 * buffer.reduce((sum, way) => sum + way)) / 3;
        buffer = [];
        version++;
      }
      const { content } = answerOf(cluster.server, [t % 3, Float32Array.of(t + 1), from])!;
      const [model, next] = content as [Float32Array, number];
      expect(model[0]).toBeCloseTo(x, 4);
      expect(next).toBe(version);
    }
  });

  it("is the plain mean when all come fresh and the buffer holds all of them", () => {
    const cluster = job({ buffer: 3 });
    // The third to come is answered with the mean of 1, 2 and 3.
    const results = cluster.runStep(0, ({ node }) => [node + 1]).map((result) => result![0]);
    expect(results).toEqual([0, 0, 2]);
  });

  it("sends its way, from the model that it was given", () => {
    const cluster = job({ buffer: 1, server_rate: 1 }, 2);
    const first = cluster.runStep(0, ({ node }) => [10 * (node + 1)]);
    // Node 0 comes first: x = 10; then node 1, one step stale: 10 + 20 / √2.
    expect(first[0]![0]).toBeCloseTo(10, 4);
    expect(first[1]![0]).toBeCloseTo(10 + 20 / Math.SQRT2, 4);
  });
});

for (const sync of ["asgd", "ssp"] as const)
  describeCodec("fedbuff.FedBuffClient", FedBuffClient, {
    sync,
    parameters: { local_steps: 1, buffer: 3 },
    seedCount: 60,
  });

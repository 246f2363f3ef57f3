import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { EasgdClient } from "./easgd.js";
import { Cluster, shuffled } from "./testing/cluster.js";

describe("EASGD", () => {
  it("moves node and centre towards each other by the same, in the order of visits", () => {
    const job = new Cluster({
      ...{ codec: EasgdClient, server: EasgdClient.server, nodeCount: 3, size: 1 },
      parameters: { local_steps: 2, beta: 0.6 },
    });
    let centre = 0;
    for (let step = 0; step < 10; step++) {
      const before = job.sent.length;
      const own = ({ node }: { node: number }): number[] => [10 * node + step];
      const results = job.runStep(step, own, shuffled(`${step}`));
      if (step % 2 === 0) {
        expect(results.map((result) => result![0])).toEqual(
          [0, 1, 2].map((node) => own({ node })[0]),
        );
        continue;
      }
      for (const { to } of job.sent.slice(before).filter(({ from }) => from < 0)) {
        const delta = 0.2 * (own({ node: to })[0] - centre);
        centre += delta;
        expect(results[to]![0]).toBeCloseTo(own({ node: to })[0] - delta, 4);
      }
    }
  });

  it("keeps the sum of all nodes and the centre", () => {
    const job = new Cluster({
      ...{ codec: EasgdClient, server: EasgdClient.server, nodeCount: 4, size: 1 },
      parameters: { local_steps: 1 },
    });
    let weights = [8, -3, 5, 2];
    for (let step = 0; step < 100; step++)
      weights = job
        .runStep(step, ({ node }) => [weights[node]], shuffled(`${step}`))
        .map((result) => result![0]);
    const centre = (job.server!.exportState() as Float32Array)[0];
    expect(weights.reduce((sum, value) => sum + value, centre)).toBeCloseTo(12, 3);
    // Without training all come to rest together.
    for (const value of weights) expect(value).toBeCloseTo(12 / 5, 2);
  });
});

for (const sync of ["asgd", "ssp"] as const)
  describeCodec("easgd.EasgdClient", EasgdClient, {
    sync,
    parameters: { local_steps: 2 },
    seedCount: 60,
  });

import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { seededRandom } from "@psgd/core";
import { AsgdClient } from "./asgd.js";
import { DcAsgdClient } from "./dc_asgd.js";
import { Cluster, shuffled } from "./testing/cluster.js";

const RATE = 0.05;

const gradient = ({ node, step }: { node: number; step: number }): number[] => {
  const random = seededRandom(`${node}/${step}`);
  return Array.from({ length: 3 }, () => random.normal());
};
const input = (place: { node: number; step: number }): number[] =>
  gradient(place).map((value) => RATE * value);

describe.each(["adaptive", "constant"] as const)("DC-ASGD, %s", (variant) => {
  it("corrects each gradient by the formula of Algorithm 2, in whatever order they come", () => {
    const job = new Cluster({
      ...{ codec: DcAsgdClient, server: DcAsgdClient.server, nodeCount: 3 },
      parameters: { variant },
    });
    const w = [0, 0, 0];
    const given = [0, 1, 2].map(() => [0, 0, 0]);
    const square = [0, 0, 0];
    for (let step = 0; step < 8; step++) {
      const before = job.sent.length;
      const results = job.runStep(step, input, shuffled(`${step}`));
      const answered = job.sent.slice(before).filter(({ from }) => from < 0);
      for (const { to } of answered) {
        const g = gradient({ node: to, step });
        for (let i = 0; i < 3; i++) {
          square[i] = 0.95 * square[i] + 0.05 * g[i] ** 2;
          const lambda = variant === "adaptive" ? 2 / Math.sqrt(square[i] + 1e-7) : 0.04;
          w[i] -= RATE * (g[i] + lambda * g[i] ** 2 * (w[i] - given[to][i]));
          expect(results[to]![i], `step ${step}, node ${to}`).toBeCloseTo(w[i], 4);
        }
        given[to] = [...w];
      }
    }
  });
});

it.each(["adaptive", "constant"])("is ASGD bit for bit where λ is 0: %s", (variant) => {
  const last = (codec: typeof AsgdClient): number[][] => {
    const parameters = { variant, lambda: 0 };
    const job = new Cluster({ codec, server: codec.server, nodeCount: 3, parameters });
    let results: number[][] = [];
    for (let step = 0; step < 5; step++)
      results = job.runStep(step, input, shuffled(`${step}`)).map((result) => [...result!]);
    return results;
  };
  expect(last(DcAsgdClient)).toEqual(last(AsgdClient));
});

for (const sync of ["asgd", "ssp"] as const)
  describeCodec("dc_asgd.DcAsgdClient", DcAsgdClient, {
    sync,
    // The kit's gradients are large, and the correction grows with their square.
    parameters: { variant: "constant", lambda: 0.001 },
    seedCount: 60,
  });

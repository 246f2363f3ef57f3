import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { seededRandom } from "@psgd/core";
import { AdamClient } from "./adam_ps.js";
import { Cluster, shuffled } from "./testing/cluster.js";

const RATE = 0.05;

it("takes a step of Adam with each gradient, in the order in which they come", () => {
  const job = new Cluster({
    ...{ codec: AdamClient, server: AdamClient.server, nodeCount: 3 },
    parameters: { server_rate: 0.01 },
  });
  const gradient = ({ node, step }: { node: number; step: number }): number[] => {
    const random = seededRandom(`${node}/${step}`);
    return Array.from({ length: 3 }, () => random.normal());
  };
  const history: number[][] = [];
  const w = [0, 0, 0];
  for (let step = 0; step < 6; step++) {
    const before = job.sent.length;
    const input = (place: { node: number; step: number }): number[] =>
      gradient(place).map((value) => RATE * value);
    const results = job.runStep(step, input, shuffled(`${step}`));
    for (const { to } of job.sent.slice(before).filter(({ from }) => from < 0)) {
      history.push(gradient({ node: to, step }));
      const t = history.length;
      for (let i = 0; i < 3; i++) {
        // The averages written out: Kingma & Ba 2015, section 3.
        let m = 0;
        let v = 0;
        for (const [k, g] of history.entries()) {
          m += 0.1 * 0.9 ** (t - 1 - k) * g[i];
          v += 0.001 * 0.999 ** (t - 1 - k) * g[i] ** 2;
        }
        w[i] -= (0.01 * m) / (1 - 0.9 ** t) / (Math.sqrt(v / (1 - 0.999 ** t)) + 1e-8);
        expect(results[to]![i], `step ${step}, node ${to}`).toBeCloseTo(w[i], 4);
      }
    }
  }
});

describe("in the conformance kit", () => {
  for (const sync of ["asgd", "ssp"] as const)
    describeCodec("adam_ps.AdamClient", AdamClient, {
      sync,
      parameters: { server_rate: 0.01 },
      seedCount: 60,
    });
});

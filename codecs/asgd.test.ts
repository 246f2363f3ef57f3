import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { AsgdClient, AsgdServer } from "./asgd.js";
import { Cluster, answerOf, inEveryOrder } from "./testing/cluster.js";

const gradient = ({ node, step }: { node: number; step: number }): number[] => [2 ** node, step, 1];

function cluster(localSteps = 1, nodeCount = 3, stepCount = 100): Cluster {
  const parameters = { local_steps: localSteps };
  return new Cluster({ codec: AsgdClient, server: AsgdServer, nodeCount, parameters, stepCount });
}

describe("ASGD", () => {
  it("answers each gradient with the model after it, in every order", () => {
    inEveryOrder((pick) => {
      const job = cluster();
      const results = job.runStep(0, gradient, pick).map((result) => result![0]);
      let sum = 0;
      for (const { to } of job.sent.filter(({ from }) => from < 0)) {
        sum += 2 ** to;
        expect(results[to]).toBe(-sum);
      }
      expect(sum).toBe(7);
    });
  });

  it("applies every gradient once, and takes local steps in between", () => {
    const job = cluster(3, 2, 7);
    const sums = [0, 0];
    let model = 0;
    for (let step = 0; step < 7; step++) {
      const results = job.runStep(step, () => [1, 0, 0]).map((result) => result![0]);
      if (step === 2 || step === 5 || step === 6) {
        const steps = step === 6 ? 1 : 3;
        // The first to come sees one sum, the second both.
        expect(results).toEqual([model - steps, model - 2 * steps]);
        model -= 2 * steps;
        sums.splice(0, 2, ...results);
      } else {
        for (const node of [0, 1]) expect(results[node]).toBe(--sums[node]);
      }
    }
    expect(model).toBe(-14);
  });

  it("sends the bytes that its header says", () => {
    const job = cluster(1, 4);
    job.runStep(0, gradient);
    expect(job.sentVectorBytes).toBe(8 * 3 * 4);
  });

  it.each([
    [[0], "expected a list of 2, got a list of 1"],
    [[5, new Float32Array(3)], "node id: expected one of 3"],
    [[0, new Float32Array(2)], "gradient of node 0: expected 3 values, got 2"],
  ])("refuses malformed content %#", (content, text) => {
    expect(() => answerOf(cluster().server, content)).toThrow(text);
  });
});

for (const sync of ["asgd", "ssp"] as const)
  describeCodec("asgd.AsgdClient", AsgdClient, {
    sync,
    parameters: { local_steps: 2 },
    seedCount: 60,
  });

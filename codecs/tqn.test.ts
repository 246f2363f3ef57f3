import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { TqnClient, TqnServer } from "./tqn.js";
import { Cluster, shuffled } from "./testing/cluster.js";

const gaussian = (label: string, size: number): number[] => {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => Math.fround(random.normal()));
};

describe("TQN", () => {
  it("gives weights of three values, which are the server's on average", () => {
    const sums = new Float64Array(20);
    const trials = 400;
    const gradient = gaussian("g", 20).map((value) => Math.sign(value) * 0.5);
    for (let trial = 0; trial < trials; trial++) {
      const cluster = new Cluster({ codec: TqnClient, server: TqnServer, nodeCount: 1, size: 20 });
      // Gradients of two values are sent as they are: the model is then their negative.
      for (let skip = 0; skip < trial; skip++) cluster.server!.random.float();
      const [result] = cluster.runStep(0, () => gradient);
      const magnitudes = new Set([...result!].map(Math.abs).filter((value) => value > 0));
      expect(magnitudes.size).toBeLessThanOrEqual(1);
      for (const [i, value] of result!.entries()) sums[i] += value / trials;
    }
    for (const [i, sum] of sums.entries()) expect(Math.abs(sum + gradient[i])).toBeLessThan(0.12);
  });

  it("keeps on the server what the ternary form leaves out", () => {
    const cluster = new Cluster({ codec: TqnClient, server: TqnServer, nodeCount: 2, size: 8 });
    const one = [1, -1, 1, -1, 1, -1, 1, -1].map((sign) => sign * 0.25);
    for (let step = 0; step < 10; step++) cluster.runStep(step, () => one, shuffled(`${step}`));
    const model = cluster.server!.exportState() as Float32Array;
    for (const [i, value] of model.entries()) expect(value).toBeCloseTo(-20 * one[i], 4);
  });

  it("sends two bits for each value", () => {
    const cluster = new Cluster({ codec: TqnClient, server: TqnServer, nodeCount: 2, size: 1000 });
    cluster.runStep(0, ({ node }) => gaussian(`${node}`, 1000));
    for (const { content } of cluster.sent)
      expect(((content as unknown[]).at(-1) as Uint8Array).length).toBe(254);
  });
});

describeCodec("tqn.TqnClient", TqnClient, { sync: "asgd", seedCount: 60 });

import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { LossAwareClient, LossAwareServer } from "./lossaware_q.js";
import { Cluster, shuffled } from "./testing/cluster.js";

const gaussian = (label: string, size: number): number[] => {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => Math.fround(random.normal()));
};

describe("LossAwareQ", () => {
  it("gives weights on a grid of 2^bits − 1 places, near those of the server", () => {
    const cluster = new Cluster({
      ...{ codec: LossAwareClient, server: LossAwareServer, nodeCount: 2, size: 40 },
      parameters: { bits: 6 },
    });
    for (let step = 0; step < 10; step++) {
      const input = ({ node }: { node: number }): number[] => gaussian(`${node}/${step}`, 40);
      const results = cluster.runStep(step, input, shuffled(`${step}`));
      const { model } = cluster.server!.exportState() as { model: Float32Array };
      const last = cluster.sent.filter(({ from }) => from < 0).at(-1)!;
      const result = results[last.to]!;
      const unit = Math.max(...model.map(Math.abs)) / 31;
      for (const [i, value] of result.entries()) {
        const places = value / unit;
        expect(Math.abs(value - model[i]), `${places}`).toBeLessThan(5 * unit);
      }
      expect(new Set([...result].map((value) => value.toFixed(6))).size).toBeLessThanOrEqual(63);
    }
  });

  it("takes the scale from where the loss is steep", () => {
    // One value with a large gradient, the others with next to none: it is met exactly, whatever they are.
    const cluster = new Cluster({
      ...{ codec: LossAwareClient, server: LossAwareServer, nodeCount: 1, size: 4 },
      parameters: { bits: 2 },
    });
    const server = cluster.server!;
    server.importState({
      model: Float32Array.of(0.5, 0.1, -0.1, 0.05),
      square: Float32Array.of(1e8, 1e-8, 1e-8, 1e-8),
    });
    let exact = 0;
    for (let step = 0; step < 40; step++) {
      const [result] = cluster.runStep(step, () => [0, 0, 0, 0]);
      if (Math.abs(result![0] - 0.5) < 1e-3) exact++;
    }
    expect(exact).toBeGreaterThan(30);
  });

  it.each([3, 4, 8])("answers on the very grid that it has chosen, with %i bits", (bits) => {
    // The scale may be such that the ends of the grid are not used: the steep value is met exactly all the same.
    const cluster = new Cluster({
      ...{ codec: LossAwareClient, server: LossAwareServer, nodeCount: 1, size: 3 },
      parameters: { bits },
    });
    cluster.server!.importState({
      model: Float32Array.of(0.5, 0.3, -0.2),
      square: Float32Array.of(1e-8, 1e8, 1e-8),
    });
    for (let step = 0; step < 100; step++) {
      const [result] = cluster.runStep(step, () => [0, 0, 0]);
      expect(result![1], `step ${step}`).toBeCloseTo(0.3, 3);
    }
  });

  it.each([1, 9])("refuses %i bits", (bits) => {
    const create = (): Cluster =>
      new Cluster({
        ...{ codec: LossAwareClient, server: LossAwareServer, nodeCount: 2 },
        parameters: { bits },
      });
    expect(create).toThrow("parameter `bits`: expected");
  });
});

describeCodec("lossaware_q.LossAwareClient", LossAwareClient, { sync: "asgd", seedCount: 60 });

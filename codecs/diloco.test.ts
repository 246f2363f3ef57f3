import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { DiLoCo } from "./diloco.js";
import { Cluster, inEveryOrder } from "./testing/cluster.js";

const own = ({ node, step }: { node: number; step: number }): number[] => [
  node + step,
  2 ** node,
  1,
];

describe("DiLoCo", () => {
  it("is the mean of all models with an outer rate of 1 and no momentum, in every order", () => {
    const orderCount = inEveryOrder((pick) => {
      const cluster = new Cluster({
        codec: DiLoCo,
        nodeCount: 3,
        parameters: { local_steps: 1, outer_rate: 1, outer_momentum: 0, values: "fp32" },
      });
      for (const result of cluster.runStep(0, own, pick))
        for (const [i, value] of result!.entries()) expect(value).toBeCloseTo([1, 7 / 3, 1][i], 6);
    });
    expect(orderCount).toBeGreaterThan(1000);
  });

  it("takes the outer steps of Nesterov's momentum", () => {
    const cluster = new Cluster({
      ...{ codec: DiLoCo, nodeCount: 2, stepCount: 100 },
      parameters: { local_steps: 2, outer_rate: 0.7, outer_momentum: 0.9, values: "fp32" },
    });
    const anchor = [0, 0, 0];
    const v = [0, 0, 0];
    for (let step = 0; step < 12; step++) {
      const results = cluster.runStep(step, own);
      if (step % 2 === 0) {
        expect(results.map((result) => [...result!])).toEqual(
          [0, 1].map((node) => own({ node, step })),
        );
        continue;
      }
      const mean = [step + 0.5, 1.5, 1];
      for (let i = 0; i < 3; i++) {
        const delta = anchor[i] - mean[i];
        v[i] = 0.9 * v[i] + delta;
        anchor[i] -= 0.7 * (0.9 * v[i] + delta);
        for (const result of results) expect(result![i]).toBeCloseTo(anchor[i], 4);
      }
    }
  });

  it("exchanges in every 500th step and in the last, and sends what its header says", () => {
    const cluster = new Cluster({ codec: DiLoCo, nodeCount: 3, size: 40, stepCount: 1200 });
    const steps = new Set<number>();
    for (let step = 0; step < 1200; step++) {
      cluster.runStep(step, () => new Float32Array(40).fill(step));
      for (const { content } of cluster.sent.splice(0)) {
        const [, at, [[, bytes]]] = content as [number, number, [[null, Uint8Array]]];
        steps.add(at);
        expect(bytes.length).toBe(80);
      }
    }
    expect([...steps]).toEqual([499, 999, 1199]);
  });

  it("doubles the local steps from exchange to exchange of the warm-up, and sends 4 bits a value", () => {
    const cluster = new Cluster({
      ...{ codec: DiLoCo, nodeCount: 2, size: 1030, stepCount: 160 },
      parameters: { local_steps: 50, first_local_steps: 3, values: "4bit" },
    });
    const steps = new Set<number>();
    for (let step = 0; step < 160; step++) {
      cluster.runStep(step, () => new Float32Array(1030).fill(step));
      for (const { content } of cluster.sent.splice(0)) {
        const [, at, [[, bytes]]] = content as [number, number, [[null, Uint8Array]]];
        steps.add(at);
        expect(bytes.length).toBe(1030 / 2 + 3 * 4);
      }
    }
    // After 3, 6, 12, 24 and 48 steps, then every 50, then in the last.
    expect([...steps]).toEqual([2, 8, 20, 44, 92, 142, 159]);
  });

  it("takes the mean of what 4 bits can say exactly", () => {
    const cluster = new Cluster({
      ...{ codec: DiLoCo, nodeCount: 2, size: 3 },
      parameters: { local_steps: 1, outer_rate: 1, outer_momentum: 0, values: "4bit" },
    });
    // Levels are sevenths of the largest value.
    const models = [
      [7, -3, 0],
      [2, 14, -6],
    ];
    for (const result of cluster.runStep(0, ({ node }) => models[node]))
      expect([...result!]).toEqual([4.5, 5.5, -3]);
  });

  it.each([
    [{ first_local_steps: 0 }, "`first_local_steps`: expected a whole number from 1 to 500, got 0"],
    [{ first_local_steps: 501 }, "expected a whole number from 1 to 500, got 501"],
    [{ outer_momentum: 1 }, "parameter `outer_momentum`: expected a number from 0, below 1, got 1"],
    [{ outer_rate: -1 }, "parameter `outer_rate`: expected a number from 0, got -1"],
    [{ local_steps: 0 }, "parameter `local_steps`: expected a whole number from 1, got 0"],
  ])("refuses parameters that cannot be: %o", (parameters, text) => {
    expect(() => new Cluster({ codec: DiLoCo, nodeCount: 2, parameters })).toThrow(text);
  });
});

describeCodec("diloco.DiLoCo", DiLoCo, {
  parameters: { local_steps: 2, outer_rate: 1, outer_momentum: 0 },
  seedCount: 60,
});

import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { Dgc } from "./dgc.js";
import { decodePositions } from "./compressors/positions.js";
import { Cluster, inEveryOrder, shuffled } from "./testing/cluster.js";

const input = ({ node, step }: { node: number; step: number }): number[] => {
  const random = seededRandom(`${node}/${step}`);
  return Array.from({ length: 10 }, () => Math.fround(random.normal()));
};

describe("DGC", () => {
  it("takes the steps of Algorithm 1: momentum correction and factor masking", () => {
    const cluster = new Cluster({
      ...{ codec: Dgc, nodeCount: 3, size: 10 },
      parameters: { fraction: 0.2, momentum: 0.7 },
    });
    const u = [0, 1, 2].map(() => new Array<number>(10).fill(0));
    const v = [0, 1, 2].map(() => new Array<number>(10).fill(0));
    for (let step = 0; step < 12; step++) {
      const mean = new Array<number>(10).fill(0);
      for (const node of [0, 1, 2]) {
        for (const [i, g] of input({ node, step }).entries()) {
          u[node][i] = 0.7 * u[node][i] + g;
          v[node][i] += u[node][i];
        }
        const largest = v[node]
          .map((_, i) => i)
          .sort((a, b) => Math.abs(v[node][b]) - Math.abs(v[node][a]));
        for (const i of largest.slice(0, 2)) {
          mean[i] += v[node][i] / 3;
          u[node][i] = 0;
          v[node][i] = 0;
        }
      }
      for (const result of cluster.runStep(step, input, shuffled(`${step}`)))
        for (const [i, value] of result!.entries())
          // fp16 has 11 bits; what it loses is sent later.
          expect(Math.abs(value - mean[i]), `step ${step}, value ${i}`).toBeLessThan(0.01);
    }
  });

  it("gives all nodes the same bits, in every order", () => {
    const outcomes = new Set<string>();
    inEveryOrder((pick) => {
      const cluster = new Cluster({
        codec: Dgc,
        nodeCount: 3,
        size: 10,
        parameters: { fraction: 0.3 },
      });
      for (const result of cluster.runStep(0, input, pick)) outcomes.add([...result!].join());
    });
    expect(outcomes.size).toBe(1);
  });

  it("sends fewer values from stage to stage of the warm-up", () => {
    const cluster = new Cluster({
      ...{ codec: Dgc, nodeCount: 2, size: 4096 },
      parameters: { fraction: 0.001, warmup_steps: 8 },
    });
    const counts: number[] = [];
    for (let step = 0; step < 10; step++) {
      cluster.runStep(step, ({ node }) => {
        const random = seededRandom(`${node}/${step}`);
        return Float32Array.from({ length: 4096 }, () => random.normal());
      });
      const [{ content }] = cluster.sent.splice(0);
      const [, , [positions]] = content as [number, number, [Uint8Array]];
      counts.push(decodePositions(positions, 4096).length);
    }
    // 1/4, 1/16, 1/64, 1/256, then 1/1000, of 4096, rounded up.
    expect(counts).toEqual([1024, 1024, 256, 256, 64, 64, 16, 16, 5, 5]);
  });

  it("begins the warm-up where it is told to", () => {
    const cluster = new Cluster({
      ...{ codec: Dgc, nodeCount: 2, size: 1024 },
      parameters: { fraction: 1 / 64, warmup_steps: 6, warmup_fraction: 1 / 4 },
    });
    const counts: number[] = [];
    for (let step = 0; step < 8; step++) {
      cluster.runStep(step, ({ node }) => {
        const random = seededRandom(`${node}/${step}`);
        return Float32Array.from({ length: 1024 }, () => random.normal());
      });
      const [{ content }] = cluster.sent.splice(0);
      const [, , [positions]] = content as [number, number, [Uint8Array]];
      counts.push(decodePositions(positions, 1024).length);
    }
    expect(counts).toEqual([256, 256, 256, 64, 64, 64, 16, 16]);
  });

  it("sends the largest of each tensor, however small its values are", () => {
    const cluster = new Cluster({
      ...{ codec: Dgc, nodeCount: 2, shapes: [[2, 4], [4], [1]] },
      parameters: { fraction: 0.25 },
    });
    const gradient = [8, -16, 4, 2, 32, 1, 2, 3, 0.25, 0.5, -1, 0.125, 0.0625];
    const sent = [0, -16, 0, 0, 32, 0, 0, 0, 0, 0, -1, 0, 0.0625];
    for (const result of cluster.runStep(0, () => gradient)) expect([...result!]).toEqual(sent);
  });

  it("refuses a warm-up that cannot be", () => {
    const parameters = { warmup_fraction: 0 };
    expect(() => new Cluster({ codec: Dgc, nodeCount: 2, parameters })).toThrow(
      "parameter `warmup_fraction`: expected a number above 0, at most 1, got 0",
    );
  });

  it("clips to a norm that all nodes share", () => {
    const cluster = new Cluster({
      ...{ codec: Dgc, nodeCount: 4, size: 2 },
      parameters: { fraction: 1, momentum: 0, clip: 3 },
    });
    // Gradients of length 5 · 0.05, learning rate 0.05: clipped to 3 / √4 times the learning rate.
    const [result] = cluster.runStep(0, () => [0.15, 0.2]);
    expect(result![0]).toBeCloseTo(0.05 * 1.5 * 0.6, 4);
    expect(result![1]).toBeCloseTo(0.05 * 1.5 * 0.8, 4);
  });
});

describeCodec("dgc.Dgc", Dgc, {
  parameters: { fraction: 0.3, momentum: 0 },
  seedCount: 60,
});

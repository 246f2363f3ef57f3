import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { OneBitAdam } from "./onebit_adam.js";
import { Cluster, inEveryOrder, shuffled } from "./testing/cluster.js";

/** Of the cluster's jobs. */
const RATE = 0.05;
const SIZE = 6;

const gradient = ({ node, step }: { node: number; step: number }): number[] => {
  const random = seededRandom(`${node}/${step}`);
  return Array.from({ length: SIZE }, (_, i) => random.normal() * 10 ** (i - 3));
};
const input = (place: { node: number; step: number }): number[] =>
  gradient(place).map((value) => RATE * value);

describe("1-bit Adam", () => {
  it("is Adam in the warm-up, and Adam over signs with error feedback afterwards", () => {
    const warmup = 6;
    const cluster = new Cluster({
      ...{ codec: OneBitAdam, nodeCount: 3, size: SIZE },
      parameters: { warmup_steps: warmup, beta1: 0.8, beta2: 0.9 },
    });
    let m = new Array<number>(SIZE).fill(0);
    const v = new Array<number>(SIZE).fill(0);
    const e = [0, 1, 2].map(() => new Array<number>(SIZE).fill(0));
    for (let step = 0; step < 16; step++) {
      const gradients = [0, 1, 2].map((node) => gradient({ node, step }));
      if (step < warmup) {
        for (let i = 0; i < SIZE; i++) {
          const g = (gradients[0][i] + gradients[1][i] + gradients[2][i]) / 3;
          m[i] = 0.8 * m[i] + 0.2 * g;
          v[i] = 0.9 * v[i] + 0.1 * g * g;
        }
      } else {
        const sent = gradients.map((g, node) => {
          const p = g.map((value, i) => 0.8 * m[i] + 0.2 * value + e[node][i]);
          const scale = p.reduce((sum, value) => sum + Math.abs(value), 0) / SIZE;
          const signs = p.map((value) => Math.sign(value) * scale);
          e[node] = p.map((value, i) => value - signs[i]);
          return signs;
        });
        m = m.map((_, i) => (sent[0][i] + sent[1][i] + sent[2][i]) / 3);
      }
      const results = cluster.runStep(step, input, shuffled(`${step}`));
      for (const result of results)
        for (const [i, value] of result!.entries()) {
          const corrected = v[i] / (1 - 0.9 ** Math.min(step + 1, warmup));
          const expected = (RATE * m[i]) / (1 - 0.8 ** (step + 1)) / (Math.sqrt(corrected) + 1e-8);
          expect(Math.abs(value / expected - 1), `step ${step}, value ${i}`).toBeLessThan(2e-3);
        }
    }
  });

  it("leaves alone what has had no gradient in the warm-up: it has no size to scale signs by", () => {
    const cluster = new Cluster({
      ...{ codec: OneBitAdam, nodeCount: 3, size: SIZE },
      parameters: { warmup_steps: 4 },
    });
    for (let step = 0; step < 12; step++) {
      // An input that is always 0, such as a pixel at the border; late in the job it is seen once.
      const dead = step === 8 ? 1 : 0;
      const results = cluster.runStep(step, (place) => [dead, ...input(place).slice(1)]);
      for (const result of results) expect(result![0], `step ${step}`).toBe(0);
    }
  });

  it("gives all nodes the same bits, in every order, in both phases", () => {
    for (const step of [0, 5]) {
      const outcomes = new Set<string>();
      inEveryOrder((pick) => {
        const parameters = { warmup_steps: 2 };
        const cluster = new Cluster({ codec: OneBitAdam, nodeCount: 3, size: SIZE, parameters });
        for (const result of cluster.runStep(step, input, pick)) outcomes.add([...result!].join());
      });
      expect(outcomes.size).toBe(1);
    }
  });

  it("warms up for a fifth of the job unless told otherwise", () => {
    const cluster = new Cluster({ codec: OneBitAdam, nodeCount: 2, size: 800, stepCount: 20 });
    const bytes = Array.from({ length: 6 }, (_, step) => {
      cluster.runStep(step, () => new Float32Array(800).fill(1));
      const [{ content }] = cluster.sent.splice(0);
      return (content as [number, number, [null, Uint8Array]])[2][1].length;
    });
    expect(bytes).toEqual([3200, 3200, 3200, 3200, 104, 104]);
  });
});

describeCodec("onebit_adam.OneBitAdam", OneBitAdam, {
  parameters: { warmup_steps: 4 },
  seedCount: 60,
});

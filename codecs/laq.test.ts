import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { LaqClient } from "./laq.js";
import { Cluster, answerOf, inEveryOrder, shuffled } from "./testing/cluster.js";

const gaussian = (label: string, size: number): number[] => {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => Math.fround(random.normal()));
};

function job(parameters = {}, nodeCount = 3, size = 12): Cluster {
  return new Cluster({ codec: LaqClient, server: LaqClient.server, nodeCount, size, parameters });
}

describe("LAQ", () => {
  it("takes the steps of Algorithm 2: sends what has changed enough, rounded around what it sent last", () => {
    const cluster = job({ bits: 3, memory: 2, laziness: 0.5, max_silence: 4 });
    const q = [0, 1, 2].map(() => new Array<number>(12).fill(0));
    const errors = [0, 0, 0];
    const silences = [0, 0, 0];
    let ways: number[] = [];
    const skips: number[] = [];
    for (let step = 0; step < 30; step++) {
      // Gradients that come to rest, each node's at its own place.
      const input = ({ node }: { node: number }): number[] =>
        gaussian(`${node}`, 12).map(
          (value, i) => value + gaussian(`${node}/${step}`, 12)[i] * 0.7 ** step,
        );
      for (const node of [0, 1, 2]) {
        const change = input({ node }).map((value, i) => value - q[node][i]);
        const radius = Math.max(...change.map(Math.abs));
        const unit = (2 * radius) / 7;
        const rounded = change.map((value) => Math.round((value + radius) / unit) * unit - radius);
        const length = rounded.reduce((sum, value) => sum + value ** 2, 0);
        const error = change.reduce((sum, value, i) => sum + (value - rounded[i]) ** 2, 0);
        const way = ways.reduce((sum, value) => sum + value, 0);
        if (length < 0.25 * way + 3 * (error + errors[node]) && ++silences[node] < 4) {
          skips.push(step);
          continue;
        }
        q[node] = q[node].map((value, i) => value + rounded[i]);
        errors[node] = error;
        silences[node] = 0;
      }
      const mean = q[0].map((value, i) => (value + q[1][i] + q[2][i]) / 3);
      ways = [mean.reduce((sum, value) => sum + value ** 2, 0), ...ways].slice(0, 2);
      const results = cluster.runStep(step, input, shuffled(`${step}`));
      for (const result of results)
        for (const [i, value] of result!.entries())
          expect(value, `step ${step}`).toBeCloseTo(mean[i], 3);
      const silent = cluster.sent
        .splice(0)
        .filter(({ content }) => (content as unknown[])[2] === null);
      expect(silent.length).toBe(skips.filter((skip) => skip === step).length);
    }
    expect(skips.length).toBeGreaterThan(10);
  });

  it("has nothing to say where only the learning rate changes", () => {
    const cluster = job({ bits: 8, laziness: 0 });
    for (let step = 0; step < 40; step++) {
      // Gradients that stay the same; after some steps the rate is a quarter.
      cluster.learningRate = step < 30 ? 0.05 : 0.0125;
      const results = cluster.runStep(step, ({ node }) =>
        gaussian(`${node}`, 12).map((value) => cluster.learningRate * value),
      );
      const said = cluster.sent
        .splice(0)
        .filter(({ to, content }) => to < 0 && (content as unknown[])[2] !== null);
      if (step < 30) continue;
      expect(said, `step ${step}`).toEqual([]);
      for (const result of results)
        for (const [i, value] of result!.entries()) {
          const sum = [0, 1, 2].reduce((all, node) => all + gaussian(`${node}`, 12)[i], 0);
          expect(value, `step ${step}`).toBeCloseTo((cluster.learningRate * sum) / 3, 3);
        }
    }
  });

  it("gives all nodes the same, in every order", () => {
    const outcomes = new Set<string>();
    inEveryOrder((pick) => {
      const results = job().runStep(0, ({ node }) => gaussian(`${node}`, 12), pick);
      for (const result of results) outcomes.add([...result!].join());
    });
    expect(outcomes.size).toBe(1);
  });

  it("sends b bits for each value, or a word", () => {
    const cluster = job({ bits: 4 }, 2, 1000);
    cluster.runStep(0, ({ node }) => gaussian(`${node}`, 1000));
    const [first] = cluster.sent;
    const [, , [, codes]] = first.content as [number, number, [number, Uint8Array]];
    expect(codes.length).toBe(500);
  });

  it.each([
    [[0, 0], "expected a list of 3"],
    [[0, 1e9, null], "step: expected a whole number from 0 to 99, got 1000000000"],
    [[0, 0, [NaN, new Uint8Array(6)]], "change of a gradient: expected a number and bytes"],
    [[0, 0, [1, new Uint8Array(5)]], "bytes of change of a gradient: expected 6, got 5"],
  ])("refuses malformed content %#", (content, text) => {
    expect(() => answerOf(job().server, content)).toThrow(text);
  });
});

describeCodec("laq.LaqClient", LaqClient, { parameters: { bits: 8 }, seedCount: 60 });

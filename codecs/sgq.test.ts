import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { SgqClient, SgqServer } from "./sgq.js";
import { Cluster, answerOf, shuffled } from "./testing/cluster.js";

const gaussian = (label: string, size: number): number[] => {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => Math.fround(random.normal()));
};

function job(parameters = {}, nodeCount = 3, size = 30): Cluster {
  return new Cluster({ codec: SgqClient, server: SgqServer, nodeCount, size, parameters });
}

describe("SGQ", () => {
  it.each([2, 3, 4])("tells every node everything in the long run, with %i bits", (bits) => {
    const cluster = job({ bits });
    const told = [0, 1, 2].map(() => new Float64Array(30));
    for (let step = 0; step < 30; step++) {
      const input = ({ node }: { node: number }): number[] => gaussian(`${node}/${step}`, 30);
      for (const [node, result] of cluster.runStep(step, input, shuffled(`${step}`)).entries())
        for (const [i, value] of result!.entries()) told[node][i] += value;
    }
    // What the server has, by its own account, and what each node was told: the rest of the last answer only.
    const { sum } = cluster.server!.exportState() as { sum: Float32Array };
    for (let quiet = 0; quiet < 40; quiet++)
      for (const [node, result] of cluster
        .runStep(30 + quiet, () => new Float32Array(30))
        .entries())
        for (const [i, value] of result!.entries()) told[node][i] += value;
    const length = Math.hypot(...sum);
    for (const node of [0, 1, 2])
      expect(Math.hypot(...told[node].map((value, i) => value - sum[i]))).toBeLessThan(
        0.35 * length,
      );
  });

  it("has a grid that is finer near 0 and ends at 1", () => {
    const cluster = job({ bits: 3 }, 1, 1000);
    const [result] = cluster.runStep(0, () => gaussian("grid", 1000));
    const magnitudes = new Set([...result!].map((value) => Math.abs(value).toFixed(5)));
    // Seven places, of which four magnitudes.
    expect(magnitudes.size).toBe(4);
    const sorted = [...magnitudes].map(Number).sort((a, b) => a - b);
    const gaps = sorted.slice(1).map((value, i) => value - sorted[i]);
    expect(gaps[2]).toBeGreaterThan(gaps[0]);
    // tan(π/12) / tan(π/6), and tan(π/12) / tan(π/4), of the largest.
    expect(sorted[1] / sorted[3]).toBeCloseTo(Math.tan(Math.PI / 12), 3);
    expect(sorted[2] / sorted[3]).toBeCloseTo(Math.tan(Math.PI / 12) / Math.tan(Math.PI / 6), 3);
  });

  it("sends the bytes that its header says", () => {
    const cluster = job({ bits: 2 }, 2, 1000);
    cluster.runStep(0, ({ node }) => gaussian(`${node}`, 1000));
    for (const { content } of cluster.sent)
      expect(((content as unknown[]).at(-1) as Uint8Array).length).toBe(254);
  });

  it.each([1, 2.5, 9])("refuses %d bits", (bits) => {
    expect(() => job({ bits })).toThrow("parameter `bits`: expected");
  });

  it.each([
    [[0], "expected a list of 2"],
    [[0, "x"], "quantized vector: expected bytes, got string"],
    [[0, new Uint8Array(3)], "bytes of sgq(2): expected 12, got 3"],
    [
      [0, new Uint8Array(12).fill(255, 4)],
      "place on the grid of sgq(2): expected one below 3, got 3",
    ],
  ])("refuses malformed content %#", (content, text) => {
    expect(() => answerOf(job().server, content)).toThrow(text);
  });
});

describeCodec("sgq.SgqClient", SgqClient, { sync: "asgd", parameters: { bits: 4 }, seedCount: 60 });

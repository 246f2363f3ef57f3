import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { DcQsgdClient, DcQsgdServer } from "./dc_qsgd.js";
import { Cluster, answerOf, shuffled } from "./testing/cluster.js";

const gaussian = (label: string, size: number): number[] => {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => Math.fround(random.normal()));
};

const RATE = 0.05;

describe("DC-QSGD", () => {
  it("takes the gradient as it would be where the model is now", () => {
    const cluster = new Cluster({
      ...{ codec: DcQsgdClient, server: DcQsgdServer, nodeCount: 1, size: 16 },
      parameters: { lambda: 0.5 },
    });
    const way = new Float64Array(16);
    const told = new Float64Array(16);
    for (let step = 0; step < 8; step++) {
      const g = gaussian(`${step}`, 16);
      const [result] = cluster.runStep(step, () => g.map((value) => RATE * value));
      const missing = way.map((value, i) => value - told[i]);
      // Levels of 8 bits: the node is told what is missing to a hundredth of it.
      for (const [i, value] of result!.entries()) {
        expect(Math.abs(-value - missing[i])).toBeLessThan(
          0.02 * Math.max(...missing.map(Math.abs)) + 1e-6,
        );
        told[i] -= value;
        way[i] -= RATE * (g[i] + 0.5 * g[i] * g[i] * -value);
      }
      const { way: servers } = cluster.server!.exportState() as { way: Float32Array };
      for (const [i, value] of servers.entries()) {
        expect(Math.abs(value - way[i]), `step ${step}`).toBeLessThan(0.01 * (step + 1));
        way[i] = value;
      }
    }
  });

  it("tells every node everything in the long run", () => {
    const cluster = new Cluster({
      codec: DcQsgdClient,
      server: DcQsgdServer,
      nodeCount: 3,
      size: 16,
    });
    const moved = [0, 1, 2].map(() => new Float64Array(16));
    for (let step = 0; step < 12; step++) {
      const input = ({ node }: { node: number }): number[] =>
        step < 6
          ? gaussian(`${node}/${step}`, 16).map((value) => RATE * value)
          : new Array<number>(16).fill(0);
      for (const [node, result] of cluster.runStep(step, input, shuffled(`${step}`)).entries())
        for (const [i, value] of result!.entries()) moved[node][i] -= value;
    }
    const { way } = cluster.server!.exportState() as { way: Float32Array };
    expect(Math.hypot(...way)).toBeGreaterThan(0.3);
    for (const node of [0, 1, 2])
      for (const [i, value] of way.entries()) expect(moved[node][i]).toBeCloseTo(value, 4);
  });

  it.each([
    [["ask"], "expected a list of 2"],
    [["ask", 9], "node id: expected one of 3"],
    [["gradient", 0, 5], "quantized vector: expected bytes, got number"],
  ])("refuses malformed content %#", (content, text) => {
    const { server } = new Cluster({ codec: DcQsgdClient, server: DcQsgdServer, nodeCount: 3 });
    expect(() => answerOf(server, content)).toThrow(text);
  });
});

for (const sync of ["asgd", "ssp"] as const)
  describeCodec("dc_qsgd.DcQsgdClient", DcQsgdClient, {
    sync,
    // The kit's gradients are large, and the correction grows with their square.
    parameters: { lambda: 0.001 },
    seedCount: 60,
  });

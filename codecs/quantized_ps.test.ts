import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { QuantizedParaClient, QuantizedParaServer } from "./quantized_ps.js";
import { Cluster, shuffled } from "./testing/cluster.js";

const gaussian = (label: string, size: number): number[] => {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => Math.fround(random.normal()));
};

describe("the quantized averaging server", () => {
  it("answers with the mean of the last weights that it knows, as near as levels are", () => {
    const cluster = new Cluster({
      ...{ codec: QuantizedParaClient, server: QuantizedParaServer, nodeCount: 3, size: 50 },
    });
    const known = new Map<number, number[]>();
    for (let step = 0; step < 6; step++) {
      const before = cluster.sent.length;
      const own = ({ node }: { node: number }): number[] => gaussian(`${node}/${step}`, 50);
      const results = cluster.runStep(step, own, shuffled(`${step}`));
      for (const { to } of cluster.sent.slice(before).filter(({ from }) => from < 0)) {
        known.set(to, own({ node: to }));
        for (const [i, value] of results[to]!.entries()) {
          const mean = [...known.values()].reduce((sum, of) => sum + of[i], 0) / known.size;
          // Two roundings of at most a level of 4/127 each.
          expect(Math.abs(value - mean)).toBeLessThan(0.07);
        }
      }
    }
  });

  it("sends as many bits as it is told, up and down", () => {
    const cluster = new Cluster({
      ...{ codec: QuantizedParaClient, server: QuantizedParaServer, nodeCount: 2, size: 1024 },
      parameters: { bits_client: 4, bits_server: 2 },
    });
    cluster.runStep(0, ({ node }) => gaussian(`${node}`, 1024));
    const sizes = (isUp: boolean): number[] =>
      cluster.sent
        .filter(({ from }) => from >= 0 === isUp)
        .map(({ content }) => ((content as unknown[]).at(-1) as Uint8Array).length);
    expect(sizes(true)).toEqual([520, 520]);
    expect(sizes(false)).toEqual([264, 264]);
  });
});

describeCodec("quantized_ps.QuantizedParaClient", QuantizedParaClient, {
  sync: "asgd",
  seedCount: 60,
});

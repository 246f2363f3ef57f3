import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { RingAllReduce } from "./ring_allreduce.js";
import { Cluster, answerOf, inEveryOrder, shuffled, type Pick } from "./testing/cluster.js";

const gaussian = (label: string, size: number): number[] => {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => Math.fround(random.normal()));
};

describe("RingAllReduce", () => {
  it("gives all nodes the mean, in every order of two nodes and in many of three", () => {
    const requireMean = (nodeCount: number, pick: Pick): void => {
      const cluster = new Cluster({ codec: RingAllReduce, nodeCount, size: 3 });
      const mean = (2 ** nodeCount - 1) / nodeCount;
      for (const result of cluster.runStep(0, ({ node }) => [2 ** node, node, 3], pick))
        expect([...result!]).toEqual([Math.fround(mean), (nodeCount - 1) / 2, 3]);
    };
    expect(inEveryOrder((pick) => requireMean(2, pick))).toBeGreaterThan(10);
    for (let seed = 0; seed < 500; seed++) requireMean(3, shuffled(`${seed}`));
  });

  it.each([
    [2, 10],
    [3, 10],
    [4, 3],
    [5, 1],
    [7, 1000],
  ])(
    "gives %i nodes the same bits of %i values, near the mean, step after step",
    (nodeCount, size) => {
      const cluster = new Cluster({ codec: RingAllReduce, nodeCount, size });
      for (let step = 0; step < 4; step++) {
        const input = ({ node }: { node: number }): number[] => gaussian(`${node}/${step}`, size);
        const results = cluster.runStep(step, input, shuffled(`${step}`));
        for (const result of results) expect(result).toEqual(results[0]);
        for (const [i, value] of results[0]!.entries()) {
          let mean = 0;
          for (let node = 0; node < nodeCount; node++) mean += input({ node })[i] / nodeCount;
          expect(value).toBeCloseTo(mean, 5);
        }
      }
    },
  );

  it("sends the bytes that its header says", () => {
    for (const [n, d] of [
      [2, 10],
      [4, 100],
      [5, 103],
    ]) {
      const cluster = new Cluster({ codec: RingAllReduce, nodeCount: n, size: d });
      cluster.runStep(0, () => new Float32Array(d));
      expect(cluster.sentVectorBytes).toBe(8 * d * (n - 1));
      expect(cluster.sent.length).toBe(2 * n * (n - 1));
    }
  });

  it("counts each block once with redundancy", () => {
    const cluster = new Cluster({ codec: RingAllReduce, nodeCount: 4, redundancy: 2 });
    const results = cluster.runStep(0, ({ block }) => [block, 0, 1], shuffled("r"));
    for (const result of results) expect([...result!]).toEqual([2.5, 0, 1]);
  });

  it.each([
    [null, "expected a list of 3"],
    [[0, -1, new Float32Array(1)], "hop: expected a whole number from 0"],
    [[1e9, 0, new Float32Array(1)], "step: expected a whole number from 0 to 99, got 1000000000"],
    [[0, 0, new Float32Array(2)], "chunk of hop 0: expected 1 values, got 2"],
  ])("refuses malformed content %#", (content, text) => {
    const cluster = new Cluster({ codec: RingAllReduce, nodeCount: 3, size: 3 });
    const generator = answerOf(cluster.nodes[0], content) as unknown as Generator;
    expect(() => generator.next()).toThrow(text);
  });
});

describeCodec("ring_allreduce.RingAllReduce", RingAllReduce, { nodeCount: 4, seedCount: 60 });

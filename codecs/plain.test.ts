import { seededRandom } from "@psgd/core";
import { describe, expect, it } from "vitest";
import { Plain } from "./plain.js";
import { Cluster, inEveryOrder, shuffled, answerOf } from "./testing/cluster.js";

/** Block b of step t: sums of powers of two, so that means over 3 or 4 blocks tell blocks and steps apart. */
const content = ({ block, step }: { block: number; step: number }): number[] => [
  2 ** block,
  1000 * step + block,
  -1,
];

const meanOfBlocks = (blockCount: number, step: number): number[] => [
  Math.fround((2 ** blockCount - 1) / blockCount),
  Math.fround(1000 * step + (blockCount - 1) / 2),
  -1,
];

describe("Plain", () => {
  it("gives all 3 nodes the mean, in every order of computing and arriving", () => {
    const orderCount = inEveryOrder((pick) => {
      const cluster = new Cluster({ codec: Plain, nodeCount: 3 });
      const results = cluster.runStep(0, content, pick);
      for (const result of results) expect([...result!]).toEqual(meanOfBlocks(3, 0));
    });
    // 9 events, each node's two messages after its block: 9! / 3³ orders.
    expect(orderCount).toBe(13440);
  });

  it("gives all nodes the same bits, whatever the order", () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 50; seed++) {
      const random = seededRandom("contents");
      // Of such different size that sums in another order would differ, even in double precision.
      const contents = [2 ** 60, 1, -(2 ** 60), 3, random.normal()].map((value) => [
        value,
        0,
        value,
      ]);
      const cluster = new Cluster({ codec: Plain, nodeCount: 5 });
      const results = cluster.runStep(0, ({ block }) => contents[block], shuffled(`order ${seed}`));
      for (const result of results) outcomes.add(new Uint32Array(result!.buffer).join());
    }
    expect(outcomes.size).toBe(1);
  });

  it("keeps steps apart over ten rounds", () => {
    const cluster = new Cluster({ codec: Plain, nodeCount: 4 });
    for (let step = 0; step < 10; step++) {
      for (const result of cluster.runStep(step, content, shuffled(`step ${step}`))) {
        expect([...result!], `seed "step ${step}"`).toEqual(meanOfBlocks(4, step));
      }
    }
  });

  it.each(["iid", "duplicate"] as const)(
    "counts each block once where two nodes hold it (%s)",
    (assignment) => {
      for (let seed = 0; seed < 200; seed++) {
        const cluster = new Cluster({ codec: Plain, nodeCount: 4, redundancy: 2, assignment });
        for (let step = 0; step < 2; step++) {
          const results = cluster.runStep(step, content, shuffled(`seed ${seed}`));
          const expected = meanOfBlocks(cluster.settings.blockCount, step);
          for (const result of results) expect([...result!], `seed ${seed}`).toEqual(expected);
        }
      }
    },
  );

  it("needs only one holder of each block", () => {
    const cluster = new Cluster({
      codec: Plain,
      nodeCount: 4,
      redundancy: 2,
      assignment: "duplicate",
    });
    // Node 3 is slow: node 2 has sent the same block.
    for (const [node, block] of [
      [0, 0],
      [1, 0],
      [2, 1],
    ]) {
      cluster.update(node, block, 0, content({ block, step: 0 }));
    }
    for (const message of [...cluster.sent]) cluster.deliver(message);
    expect(cluster.nodes.map((codec) => codec.hasResult)).toEqual([true, true, true, false]);
    cluster.update(3, 1, 0, content({ block: 1, step: 0 }));
    expect([...cluster.nodes[3].takeResult()]).toEqual(meanOfBlocks(2, 0));
  });

  it("drops copies of blocks whose step is over", () => {
    const cluster = new Cluster({ codec: Plain, nodeCount: 4, redundancy: 2 });
    cluster.runStep(0, content);
    const late = [...cluster.sent];
    for (const message of late) cluster.deliver(message);
    expect(cluster.nodes.some((codec) => codec.hasResult)).toBe(false);
    for (const [node, blocks] of cluster.settings.nodeToBlocks.entries()) {
      cluster.update(node, blocks[0], 1, content({ block: blocks[0], step: 1 }));
    }
    for (const message of late) cluster.deliver(message);
    expect(cluster.nodes.some((codec) => codec.hasResult)).toBe(false);
  });

  it("keeps what a peer sends ahead for its own step", () => {
    const cluster = new Cluster({ codec: Plain, nodeCount: 2 });
    cluster.update(0, 0, 0, [0, 0, 0]);
    answerOf(cluster.nodes[0], [1, Float32Array.of(4, 4, 4), 1]);
    expect(cluster.nodes[0].hasResult).toBe(false);
    answerOf(cluster.nodes[0], [1, Float32Array.of(2, 2, 2), 0]);
    expect([...cluster.nodes[0].takeResult()]).toEqual([1, 1, 1]);
    cluster.update(0, 0, 1, [0, 0, 0]);
    expect([...cluster.nodes[0].takeResult()]).toEqual([2, 2, 2]);
  });

  it("does not take a step that is sent again, or ahead, for its own", () => {
    const cluster = new Cluster({ codec: Plain, nodeCount: 2 });
    const [codec] = cluster.nodes;
    cluster.runStep(0, content);
    for (const step of [0, 1]) {
      for (const block of [0, 1]) answerOf(codec, [block, Float32Array.of(8, 8, 8), step]);
      expect(codec.hasResult).toBe(false);
    }
    cluster.update(0, 0, 1, [8, 8, 8]);
    expect([...codec.takeResult()]).toEqual([8, 8, 8]);
  });

  it("sends the bytes that its header says", () => {
    for (const [n, r, b] of [
      [4, 1, 4],
      [4, 2, 6],
      [3, 3, 1],
    ]) {
      const cluster = new Cluster({ codec: Plain, nodeCount: n, redundancy: r, size: 7 });
      cluster.runStep(0, () => new Float32Array(7));
      expect(cluster.sentVectorBytes).toBe(4 * 7 * b * r * (n - r));
    }
  });

  it.each([
    [undefined, "content of a message: expected a list of 3, got undefined"],
    [[0, new Float32Array(3)], "expected a list of 3, got a list of 2"],
    [[4, new Float32Array(3), 0], "block id: expected one of 3 ids from 0, got 4"],
    [[1, new Float32Array(3), 1e9], "step: expected a whole number from 0 to 99, got 1000000000"],
    [[1, [1, 2, 3], 0], "block 1: expected a Float32Array, got a list of 3"],
    [[1, new Float32Array(2), 0], "block 1: expected 3 values, got 2"],
    [[1, new Float32Array(3), "0"], "step: expected a whole number from 0 to 99, got a text"],
  ])("refuses malformed content %#", (malformed, text) => {
    const cluster = new Cluster({ codec: Plain, nodeCount: 3 });
    expect(() => answerOf(cluster.nodes[0], malformed)).toThrow(text);
  });
});

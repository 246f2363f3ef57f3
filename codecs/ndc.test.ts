import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { Ndc } from "./ndc.js";
import { Cluster, shuffled } from "./testing/cluster.js";

const content = ({ block, step }: { block: number; step: number }): number[] => [
  2 ** block,
  step,
  1,
];

describe("Ndc", () => {
  it.each(["iid", "duplicate"] as const)(
    "gives all nodes the mean of all blocks (%s)",
    (assignment) => {
      for (let seed = 0; seed < 50; seed++) {
        const cluster = new Cluster({ codec: Ndc, nodeCount: 4, redundancy: 2, assignment });
        const b = cluster.settings.blockCount;
        for (let step = 0; step < 2; step++)
          for (const result of cluster.runStep(step, content, shuffled(`${seed}`)))
            expect([...result!], `seed ${seed}`).toEqual([Math.fround((2 ** b - 1) / b), step, 1]);
      }
    },
  );

  it("sends each block once: r times fewer bytes than all who have it would", () => {
    for (const [n, r, b] of [
      [4, 2, 6],
      [4, 1, 4],
      [3, 3, 1],
    ]) {
      const cluster = new Cluster({ codec: Ndc, nodeCount: n, redundancy: r, size: 7 });
      cluster.runStep(0, () => new Float32Array(7));
      expect(cluster.sentVectorBytes).toBe(4 * 7 * b * (n - r));
    }
  });

  it("is rescued by those who stand by when a node that sends is silent", () => {
    const cluster = new Cluster({
      codec: Ndc,
      nodeCount: 4,
      redundancy: 2,
      assignment: "duplicate",
    });
    // Blocks 0 and 1 on nodes 0, 1 and 2, 3: node 0 never gets to its step.
    for (const [node, block] of [
      [1, 0],
      [2, 1],
      [3, 1],
    ])
      cluster.update(node, block, 0, content({ block, step: 0 }));
    for (const message of cluster.sent.slice()) if (message.to > 0) cluster.deliver(message);
    // Node 1 has all blocks, but nobody has told it that block 0 was sent.
    expect(cluster.nodes.some((codec) => codec.hasResult)).toBe(false);
    const before = cluster.sent.length;
    for (const node of [1, 2, 3]) cluster.rescue(node);
    for (const message of cluster.sent.slice(before)) cluster.deliver(message);
    expect([...cluster.nodes[1].takeResult()]).toEqual([1.5, 0, 1]);
    expect([...cluster.nodes[2].takeResult()]).toEqual([1.5, 0, 1]);
    expect([...cluster.nodes[3].takeResult()]).toEqual([1.5, 0, 1]);
  });
});

describeCodec("ndc.Ndc", Ndc, { redundancy: 2, nodeCount: 4, seedCount: 60 });

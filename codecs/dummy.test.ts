import { describe, expect, it } from "vitest";
import { DummyCodec } from "./dummy.js";
import { Cluster } from "./testing/cluster.js";

describe("DummyCodec", () => {
  it("gives each node its own block, and sends nothing", () => {
    const cluster = new Cluster({ codec: DummyCodec, nodeCount: 3 });
    for (let step = 0; step < 10; step++) {
      const results = cluster.runStep(step, ({ node }) => [node, step, 0.5]);
      expect(results.map((result) => [...result!])).toEqual([0, 1, 2].map((n) => [n, step, 0.5]));
    }
    expect(cluster.sent).toEqual([]);
  });

  it("gives a node the mean of its blocks where it has several", () => {
    const cluster = new Cluster({ codec: DummyCodec, nodeCount: 4, redundancy: 2 });
    for (let step = 0; step < 3; step++) {
      const results = cluster.runStep(step, ({ block }) => [block, step, 1]);
      // By iid, node 0 of 4 computes blocks 0, 1, 2 of 6, node 1 blocks 0, 3, 4, and so on.
      expect(results.map((result) => [...result!])).toEqual(
        [3 / 3, 7 / 3, 9 / 3, 11 / 3].map((mean) => [Math.fround(mean), step, 1]),
      );
    }
  });

  it("forgets a step that was cut off", () => {
    const cluster = new Cluster({ codec: DummyCodec, nodeCount: 4, redundancy: 2 });
    cluster.update(0, 0, 0, [100, 100, 100]);
    cluster.nodes[0].dispose();
    cluster.nodes[0].dispose();
    expect([...cluster.runStep(1, () => [1, 2, 3])[0]!]).toEqual([1, 2, 3]);
  });
});

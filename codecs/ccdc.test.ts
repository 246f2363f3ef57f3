import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { Ccdc } from "./ccdc.js";
import { Plain } from "./plain.js";
import { Cluster, answerOf, shuffled } from "./testing/cluster.js";

const content = ({ block, step }: { block: number; step: number }): Float32Array => {
  const random = seededRandom(`${block}/${step}`);
  return Float32Array.from({ length: 11 }, () => random.normal());
};

describe("Ccdc", () => {
  it.each([
    [3, 1],
    [3, 2],
    [4, 2],
    [4, 3],
    [5, 2],
    [5, 3],
  ])(
    "gives %i nodes with redundancy %i the bits that sending everything gives",
    (nodeCount, redundancy) => {
      const options = { nodeCount, redundancy, size: 11 };
      for (let seed = 0; seed < 10; seed++) {
        const coded = new Cluster({ codec: Ccdc, ...options });
        const plain = new Cluster({ codec: Plain, ...options });
        for (let step = 0; step < 3; step++) {
          const expected = plain.runStep(step, content);
          const results = coded.runStep(step, content, shuffled(`${seed}/${step}`));
          for (const [node, result] of results.entries())
            expect(result, `seed ${seed}`).toEqual(expected[node]);
        }
      }
    },
  );

  it("serves r nodes with each message: as many words on the way as its header says", () => {
    for (const [n, r, groups] of [
      [4, 2, 4],
      [5, 3, 5],
      [5, 2, 10],
    ]) {
      const cluster = new Cluster({ codec: Ccdc, nodeCount: n, redundancy: r, size: 12 });
      cluster.runStep(0, () => new Float32Array(12));
      const words = cluster.sent.reduce(
        (sum, message) => sum + (message.content as [0, 0, 0, Uint32Array])[3].length,
        0,
      );
      expect(words).toBe((12 / r) * r * (r + 1) * groups);
    }
  });

  it("says which assignment it needs", () => {
    const create = (): Cluster =>
      new Cluster({ codec: Ccdc, nodeCount: 4, redundancy: 2, assignment: "duplicate" });
    expect(create).toThrow("codec Ccdc needs `--block-assignment iid`");
  });

  it.each([
    [null, "expected a list of 4"],
    [
      [1, 99, 0, new Uint32Array(6)],
      "coded part: expected 6 words of another node of a group of this one",
    ],
    [[0, 0, 0, new Uint32Array(6)], "coded part"],
    [[1, 0, 1e9, new Uint32Array(6)], "step: expected a whole number from 0 to 99, got 1000000000"],
    [[1, 0, 0, new Uint32Array(5)], "coded part"],
  ])("refuses malformed content %#", (message, text) => {
    const cluster = new Cluster({ codec: Ccdc, nodeCount: 3, redundancy: 2, size: 11 });
    expect(() => answerOf(cluster.nodes[0], message)).toThrow(text);
  });
});

describeCodec("ccdc.Ccdc", Ccdc, { redundancy: 2, nodeCount: 4, seedCount: 60 });

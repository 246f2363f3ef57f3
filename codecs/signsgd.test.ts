import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { SignSgdClient, SignSgdServer, majority } from "./signsgd.js";
import { Cluster, answerOf, inEveryOrder, shuffled } from "./testing/cluster.js";

function bitsOf(bytes: Uint8Array, count: number): number[] {
  return Array.from({ length: count }, (_, i) => (bytes[i >> 3] >> (i & 7)) & 1);
}

describe("the majority", () => {
  it.each([1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 100])(
    "of %i votes is what counting gives",
    (voters) => {
      const random = seededRandom(`majority of ${voters}`);
      const votes = Array.from({ length: voters }, () =>
        Uint8Array.from({ length: 50 }, () => random.uint32() & 255),
      );
      const decided = bitsOf(majority(votes, random), 400);
      for (let i = 0; i < 400; i++) {
        const count = votes.reduce((sum, vote) => sum + bitsOf(vote, 400)[i], 0);
        if (2 * count !== voters) expect(decided[i]).toBe(2 * count > voters ? 1 : 0);
      }
    },
  );

  it("decides ties by chance, one half of the time", () => {
    const votes = [new Uint8Array(2000), new Uint8Array(2000).fill(255)];
    const ones = bitsOf(majority(votes, seededRandom(3)), 16_000).reduce((a, b) => a + b);
    // 4.5 standard deviations of 16,000 fair coins.
    expect(Math.abs(ones - 8000)).toBeLessThan(4.5 * Math.sqrt(4000));
  });
});

describe("SignSgd", () => {
  it("moves what has no gradient to no side", () => {
    const size = 4000;
    const parameters = { momentum: 0 };
    const cluster = new Cluster({
      ...{ codec: SignSgdClient, server: SignSgdServer, nodeCount: 3, size, parameters },
    });
    const [result] = cluster.runStep(0, () => new Array<number>(size).fill(0));
    const ups = result!.filter((value) => value > 0).length;
    // 4.5 standard deviations of so many fair coins.
    expect(Math.abs(ups - size / 2)).toBeLessThan((4.5 * Math.sqrt(size)) / 2);
  });

  const input = ({ node, step }: { node: number; step: number }): number[] => {
    const random = seededRandom(`${node}/${step}`);
    return Array.from({ length: 20 }, () => random.normal());
  };

  it("moves every weight by the learning rate where most momenta point, in every order", () => {
    const outcomes = new Set<string>();
    inEveryOrder((pick) => {
      const cluster = new Cluster({
        ...{ codec: SignSgdClient, server: SignSgdServer, nodeCount: 3, size: 20 },
        parameters: { momentum: 0.5 },
      });
      const m = [0, 1, 2].map(() => new Array<number>(20).fill(0));
      for (const step of [0, 1]) {
        for (const node of [0, 1, 2])
          m[node] = input({ node, step }).map((g, i) => 0.5 * m[node][i] + 0.5 * g);
        const order = step === 0 ? pick : shuffled("second");
        for (const result of cluster.runStep(step, input, order)) {
          outcomes.add(`${step}: ${[...result!].join()}`);
          for (const [i, value] of result!.entries()) {
            const votes = m.reduce((sum, of) => sum + Math.sign(of[i]), 0);
            expect(value).toBe(Math.fround(0.05) * Math.sign(votes));
          }
        }
      }
    });
    expect(outcomes.size).toBe(2);
  });

  it("sends one bit for each value both ways", () => {
    const cluster = new Cluster({
      ...{ codec: SignSgdClient, server: SignSgdServer, nodeCount: 4, size: 1000 },
    });
    cluster.runStep(0, () => new Float32Array(1000).fill(1));
    const sizes = cluster.sent.map(
      ({ content }) => ((content as unknown[]).at(-1) as Uint8Array).length,
    );
    expect(sizes).toEqual(new Array(8).fill(125));
  });

  it.each([
    [[0, 0, new Uint8Array(2)], "bytes of signs: expected 3, got 2"],
    [[0, 1e9, new Uint8Array(3)], "step: expected a whole number from 0 to 99, got 1000000000"],
    [[0, 0, "+-+"], "signs: expected bytes, got string"],
    [[9, 0, new Uint8Array(3)], "node id: expected one of 2"],
    [null, "expected a list of 3"],
  ])("refuses malformed votes %#", (content, text) => {
    const cluster = new Cluster({
      ...{ codec: SignSgdClient, server: SignSgdServer, nodeCount: 2, size: 20 },
    });
    expect(() => answerOf(cluster.server, content)).toThrow(text);
  });
});

describeCodec("signsgd.SignSgdClient", SignSgdClient, {
  seedCount: 60,
});

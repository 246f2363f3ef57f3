import { describe, expect, it } from "vitest";
import { Cluster, inEveryOrder, shuffled, answerOf } from "./testing/cluster.js";
import { MyComCtrl } from "./tutorial_codec.js";

const content = ({ block, step }: { block: number; step: number }): number[] => [
  2 ** block,
  1000 * step,
  -1,
];

describe("MyComCtrl", () => {
  it("gives all 3 nodes the mean, in every order that ssgd allows", () => {
    inEveryOrder((pick) => {
      const cluster = new Cluster({ codec: MyComCtrl, nodeCount: 3 });
      for (const result of cluster.runStep(0, content, pick, { atBarrier: true })) {
        expect([...result!]).toEqual([Math.fround(7 / 3), 0, -1]);
      }
    });
  });

  it("waits for all blocks, not for as many packages as there are nodes", () => {
    for (let seed = 0; seed < 100; seed++) {
      const cluster = new Cluster({ codec: MyComCtrl, nodeCount: 4, redundancy: 2 });
      for (let step = 0; step < 3; step++) {
        const pick = shuffled(`seed ${seed}, step ${step}`);
        for (const result of cluster.runStep(step, content, pick, { atBarrier: true })) {
          expect([...result!], `seed ${seed}, step ${step}`).toEqual([63 / 6, 1000 * step, -1]);
        }
      }
    }
  });

  it("prints what it does", () => {
    const printed: string[] = [];
    const print = (message: string): void => {
      printed.push(message);
    };
    const log = { info: print, warn: print, error: print };
    const cluster = new Cluster({ codec: MyComCtrl, nodeCount: 2, log });
    cluster.update(1, 1, 0, [1, 2, 3]);
    cluster.deliver(cluster.sent[0]);
    cluster.nodes[0].dispose();
    expect(printed).toEqual([
      "Weights delta received.",
      "from block: 1",
      "It has a content with shape: (3,)",
      "I have received an package.",
      "my communication controller is disposed.",
    ]);
  });

  it("sends the bytes that its header says", () => {
    const cluster = new Cluster({ codec: MyComCtrl, nodeCount: 5, redundancy: 2 });
    cluster.runStep(0, content, undefined, { atBarrier: true });
    expect(cluster.sentVectorBytes).toBe(4 * 3 * 10 * 2 * 3);
  });

  it("refuses malformed content", () => {
    const [codec] = new Cluster({ codec: MyComCtrl, nodeCount: 2 }).nodes;
    expect(() => answerOf(codec, { block: 2, data: new Float32Array(3) })).toThrow("block id");
    expect(() => answerOf(codec, { block: 1 })).toThrow("data of block 1: expected a Float32Array");
    expect(() => answerOf(codec, undefined)).toThrow("block");
  });
});

import { describe, expect, it } from "vitest";
import type { BlockWeight } from "./codec.js";
import { layoutOf } from "./layout.js";
import { OwnBlocks } from "./own-blocks.js";

const block = (...values: number[]): BlockWeight => ({
  content: Float32Array.from(values),
  blockId: 0,
  step: 0,
  sampleCount: 1,
  layout: layoutOf([{ name: "w", shape: [values.length] }]),
});

describe("the blocks of one node", () => {
  it("are passed on as they are where there is one per step", () => {
    const blocks = new OwnBlocks(1);
    const only = block(1, 2);
    expect(blocks.add(only)).toBe(only.content);
    expect([...blocks.add(block(3, 4))!]).toEqual([3, 4]);
  });

  it("have a mean with the last of the step, step after step", () => {
    const blocks = new OwnBlocks(3);
    for (let step = 0; step < 3; step++) {
      expect(blocks.add(block(1, 1 * step))).toBeUndefined();
      expect(blocks.add(block(2, 2 * step))).toBeUndefined();
      expect([...blocks.add(block(6, 3 * step))!]).toEqual([3, 2 * step]);
    }
  });

  it("are forgotten when a step is given up", () => {
    const blocks = new OwnBlocks(2);
    blocks.add(block(100, 100));
    blocks.clear();
    expect(blocks.add(block(1, 1))).toBeUndefined();
    expect([...blocks.add(block(3, 3))!]).toEqual([2, 2]);
  });
});

import {
  ASSIGNMENTS,
  Codec,
  SILENT,
  createSettings,
  layoutOf,
  netEncapsulation,
  seededRandom,
  type BlockWeight,
  type CodecClass,
  type NetEncapsulation,
} from "@psgd/core";
import { describe, expect, it } from "vitest";
import { createCallWatch, lastCall, watched, type CallWatch } from "./call-watch.js";

const LAYOUT = layoutOf([{ name: "all", shape: [2] }]);
const BLOCK = { blockId: 0, step: 0, content: new Float32Array(2), sampleCount: 1, layout: LAYOUT };

function make(codecClass: CodecClass, watch: CallWatch): Codec {
  const assignment = ASSIGNMENTS.iid({ nodeCount: 2, redundancy: 1 });
  return new (watched(codecClass, watch))({
    nodeId: 1,
    settings: createSettings({ assignment, batchSize: 1, stepCount: 1, parameters: {}, seed: 1 }),
    layout: LAYOUT,
    random: seededRandom("1"),
    log: SILENT,
    currentWeights: () => new Float32Array(2),
    learningRate: () => 1,
  });
}

function isRunning(watch: CallWatch): boolean {
  return Atomics.load(watch, 0) !== 0;
}

describe("a watched codec", () => {
  it("is at work from the beginning of a call to its end, also if it throws", () => {
    const watch = createCallWatch();
    const seen: boolean[] = [];
    class Seeing extends Codec {
      override updateBlocks(): void {
        seen.push(isRunning(watch));
        throw new Error("no");
      }
    }
    const codec = make(Seeing, watch);
    expect(isRunning(watch)).toBe(false);
    expect(() => codec.updateBlocks(BLOCK)).toThrow("no");
    expect([...seen, isRunning(watch)]).toEqual([true, false]);
    expect(lastCall(watch)).toBe("updateBlocks of node 1, call 2 of all");
  });

  it("is still at work where it has returned what is to run: the next call ends that", () => {
    const watch = createCallWatch();
    class Lazy extends Codec {
      override *updateBlocks(): Iterable<NetEncapsulation> {
        yield netEncapsulation([0], 1);
      }
    }
    const codec = make(Lazy, watch);
    void codec.updateBlocks(BLOCK);
    expect(isRunning(watch)).toBe(true);
    codec.dispose();
    expect(isRunning(watch)).toBe(false);
  });

  it("is told of methods that are arrow functions or getters, too", () => {
    const watch = createCallWatch();
    class Unusual extends Codec {
      override receiveBlocks = (): void => this.setResult([3, 4]);
    }
    // What TypeScript refuses, JavaScript allows.
    Object.defineProperty(Unusual.prototype, "updateBlocks", {
      get(this: Codec) {
        return ({ content }: BlockWeight) => this.setResult(content);
      },
    });
    const codec = make(Unusual, watch);
    void codec.updateBlocks(BLOCK);
    expect(lastCall(watch)).toBe("updateBlocks of node 1, call 2 of all");
    void codec.receiveBlocks(undefined);
    expect(lastCall(watch)).toBe("receiveBlocks of node 1, call 3 of all");
    expect([...codec.takeResult()]).toEqual([3, 4]);
  });

  it("is of the class that its author wrote, static fields and all", () => {
    class Counting extends Codec {
      static #made = 0;
      constructor(...args: ConstructorParameters<typeof Codec>) {
        super(...args);
        (this.constructor as typeof Counting).#made++;
      }
      static get made(): number {
        return Counting.#made;
      }
    }
    const codec = make(Counting, createCallWatch());
    expect([Counting.made, codec.constructor]).toEqual([1, Counting]);
  });
});

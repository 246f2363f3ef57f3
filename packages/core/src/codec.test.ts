import { describe, expect, it } from "vitest";
import { ASSIGNMENTS } from "./assignments/registry.js";
import { Codec, type BlockWeight, type CodecClass, type CodecContext } from "./codec.js";
import { isPsgdError } from "./errors.js";
import { layoutOf } from "./layout.js";
import { SILENT } from "./log.js";
import { seededRandom } from "./random.js";
import { createSettings } from "./settings.js";

const context: CodecContext = {
  nodeId: 2,
  settings: createSettings({
    assignment: ASSIGNMENTS.iid({ nodeCount: 3, redundancy: 1 }),
    batchSize: 64,
    stepCount: 5,
    parameters: {},
  }),
  layout: layoutOf([{ name: "w", shape: [2] }]),
  random: seededRandom(1),
  log: SILENT,
  currentWeights: () => Float32Array.of(7, 8),
  learningRate: () => 0.05,
};

class Local extends Codec {
  static override readonly carries = "gradients";
  override updateBlocks(block: BlockWeight): void {
    this.setResult(block.content);
  }
}

function thrownBy(attempt: () => unknown): unknown {
  try {
    attempt();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("a codec", () => {
  it("knows where it is", () => {
    const codec = new Local(context);
    expect(codec.nodeId).toBe(2);
    expect(codec.settings.nodes).toEqual([0, 1, 2]);
    expect(codec.layout.size).toBe(2);
    expect([...codec.weights]).toEqual([7, 8]);
    expect(codec.learningRate).toBe(0.05);
  });

  it("needs none of the methods: all do nothing unless it says otherwise", () => {
    class Nothing extends Codec {}
    const codec = new Nothing(context);
    const block = { content: new Float32Array(2), blockId: 2, step: 0, sampleCount: 1 };
    expect(codec.updateBlocks({ ...block, layout: context.layout })).toBeUndefined();
    expect(codec.receiveBlocks([1, 2])).toBeUndefined();
    expect(codec.onSyncTimeout()).toBeUndefined();
    expect(codec.exportState()).toBeUndefined();
    codec.importState(undefined);
    codec.dispose();
    codec.dispose();
    expect(codec.hasResult).toBe(false);
    expect(Nothing.carries).toBe("any");
  });

  it("can stand where a job names a class", () => {
    const named: CodecClass = Local;
    expect([named.name, named.carries, named.returns, named.server]).toEqual([
      "Local",
      "gradients",
      undefined,
      undefined,
    ]);
  });
});

describe("setResult", () => {
  it("adds to what is there, and an empty buffer counts as 0", () => {
    const codec = new Local(context);
    codec.setResult(Float32Array.of(1, 2));
    codec.setResult([10, 20]);
    codec.setResult(Float64Array.of(100, 200));
    expect(codec.hasResult).toBe(true);
    expect(codec.takeResult()).toEqual(Float32Array.of(111, 222));
  });

  it("folds with an operation, which gets 0 for an empty buffer and then the old result", () => {
    const codec = new Local(context);
    const seen: unknown[] = [];
    for (const content of [Float32Array.of(3, 1), Float32Array.of(2, 5)]) {
      codec.setResult(content, (old, vector) => {
        seen.push(old === 0 ? 0 : [...old]);
        return Array.from(vector, (value, i) => Math.max(value, old === 0 ? -Infinity : old[i]!));
      });
    }
    expect(seen).toEqual([0, [3, 1]]);
    expect(codec.takeResult()).toEqual(Float32Array.of(3, 5));
  });

  it("does not change what was added", () => {
    const codec = new Local(context);
    const second = Float32Array.of(1, 1);
    codec.setResult(Float32Array.of(1, 1));
    codec.setResult(second);
    expect([...second]).toEqual([1, 1]);
  });

  it("refuses a vector of another length, also from an operation, and keeps the old result", () => {
    const codec = new Local(context);
    codec.setResult([1, 2]);
    const text = "SHAPE_MISMATCH: result of Local on node 2: expected 2 values, got 3";
    expect(() => codec.setResult([1, 2, 3])).toThrow(text);
    expect(() => codec.setResult([1, 2], () => [1, 2, 3])).toThrow(text);
    expect([...codec.takeResult()]).toEqual([1, 2]);
  });
});

describe("takeResult", () => {
  it("clears the buffer", () => {
    const codec = new Local(context);
    codec.setResult([1, 2]);
    codec.takeResult();
    expect(codec.hasResult).toBe(false);
    codec.setResult([3, 4]);
    expect([...codec.takeResult()]).toEqual([3, 4]);
  });

  it("says which codec on which node has no result", () => {
    const error = thrownBy(() => new Local(context).takeResult());
    expect(isPsgdError(error, "CODEC_NO_RESULT")).toBe(true);
    expect(String(error)).toContain("codec Local, node 2");
  });
});

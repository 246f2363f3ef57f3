import {
  ASSIGNMENTS,
  Codec,
  SILENT,
  createSettings,
  layoutOf,
  seededRandom,
  type CodecContext,
} from "@psgd/core";
import { describe, expect, it } from "vitest";
import { constructCodec, isCodecClass, loadCodecClass } from "./load-codec.js";

class Local extends Codec {}

class Broken extends Codec {
  constructor(context: CodecContext) {
    super(context);
    throw new TypeError("no such thing");
  }
}

const context: CodecContext = {
  nodeId: 1,
  settings: createSettings({
    assignment: ASSIGNMENTS.iid({ nodeCount: 2, redundancy: 1 }),
    batchSize: 1,
    stepCount: 1,
    parameters: {},
  }),
  layout: layoutOf([{ name: "w", shape: [2] }]),
  random: seededRandom(1),
  log: SILENT,
  currentWeights: () => new Float32Array(2),
  learningRate: () => 0.1,
};

const load = (className: string, exports: Readonly<Record<string, unknown>>) =>
  loadCodecClass({ className, source: "" }, async () => exports);

describe("loading a codec class", () => {
  it("takes the export that is named, the default one too", async () => {
    expect(await load("Local", { Broken, Local })).toBe(Local);
    expect(await load("default", { default: Local })).toBe(Local);
  });

  it("knows a codec by its shape, as a bundle brings its own base class", () => {
    class Foreign {
      updateBlocks(): void {}
      receiveBlocks(): void {}
      setResult(): void {}
      takeResult(): void {}
    }
    expect(isCodecClass(Foreign)).toBe(true);
    expect(isCodecClass(Local)).toBe(true);
  });

  it.each<[string, unknown]>([
    ["nothing", undefined],
    ["a number", 3],
    ["an object", {}],
    ["an arrow function", () => {}],
    ["a class that is no codec", Map],
    ["null", null],
  ])("refuses %s, and says what the module exports", async (_, value) => {
    expect(isCodecClass(value)).toBe(false);
    await expect(load("Local", { Local: value, other: 1 })).rejects.toThrow(
      `CODEC_LOAD_FAILED: codec Local: expected an exported class that extends Codec, got ${typeof value}; the module exports Local, other`,
    );
  });

  it("says that a module exports nothing, or throws while it is loaded", async () => {
    await expect(load("Local", {})).rejects.toThrow("the module exports nothing");
    const loading = loadCodecClass({ className: "Local", source: "" }, async () => {
      throw new ReferenceError("x is not defined");
    });
    await expect(loading).rejects.toThrow(
      "CODEC_LOAD_FAILED: codec Local: its module threw while loading: x is not defined",
    );
  });
});

describe("constructing a codec", () => {
  it("gives it its context", () => {
    expect(constructCodec(Local, context).nodeId).toBe(1);
  });

  it("says whose constructor threw, on which node, and keeps the cause", () => {
    let thrown: unknown;
    try {
      constructCodec(Broken, context);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({
      code: "CODEC_THREW",
      message: "CODEC_THREW: constructor threw: no such thing; codec Broken, node 1",
      details: { node: 1 },
    });
    expect((thrown as Error).cause).toBeInstanceOf(TypeError);
  });
});

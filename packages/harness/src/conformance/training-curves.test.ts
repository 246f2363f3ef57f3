import {
  Codec,
  netEncapsulation,
  seededRandom,
  type BlockWeight,
  type NetEncapsulation,
} from "@psgd/core";
import { describe, expect, it } from "vitest";
import { CodecLab } from "./codec-lab.js";
import { softmaxGradient, softmaxScore, type LabelledSamples } from "./softmax-regression.js";
import { trainingCurves } from "./training-curves.js";

/** Three clouds of points around the corners of a triangle. */
function clouds(count: number, seed: string): LabelledSamples {
  const random = seededRandom(seed);
  const labels = Uint8Array.from({ length: count }, () => random.uint32() % 3);
  const inputs = new Float32Array(2 * count);
  for (let row = 0; row < count; row++) {
    const angle = (2 * Math.PI * labels[row]!) / 3;
    inputs[2 * row] = Math.cos(angle) + 0.2 * random.normal();
    inputs[2 * row + 1] = Math.sin(angle) + 0.2 * random.normal();
  }
  return { inputSize: 2, classCount: 3, inputs, labels };
}

/** The exact mean, peer to peer. */
class Mean extends Codec {
  static override readonly carries = "gradients";
  #blocks = new Map<number, Float32Array>();
  override updateBlocks({ blockId, content }: BlockWeight): NetEncapsulation {
    this.#keep(blockId, content);
    return netEncapsulation(this.settings.nodesWithout(blockId), [blockId, content]);
  }
  override receiveBlocks(content: unknown): void {
    this.#keep(...(content as [number, Float32Array]));
  }
  #keep(blockId: number, content: Float32Array): void {
    this.#blocks.set(blockId, content);
    if (this.#blocks.size < this.settings.blockCount) return;
    const mean = new Float32Array(content.length);
    for (const id of this.settings.blocks)
      for (const [i, value] of this.#blocks.get(id)!.entries())
        mean[i]! += value / this.settings.blockCount;
    this.setResult(mean);
    this.#blocks.clear();
  }
}

describe("softmax regression", () => {
  const samples = clouds(40, "gradient");
  const random = seededRandom("weights");
  const weights = Float32Array.from({ length: 9 }, () => random.normal());
  const rows = Array.from({ length: 40 }, (_, row) => row);

  it("has the gradient that differences of its loss have", () => {
    const gradient = softmaxGradient(samples, weights, rows);
    for (let i = 0; i < 9; i++) {
      const at = (shift: number): number =>
        softmaxScore(
          samples,
          weights.map((value, k) => value + (k === i ? shift : 0)),
        ).loss;
      expect(gradient[i]).toBeCloseTo((at(1e-2) - at(-1e-2)) / 2e-2, 3);
    }
  });

  it("begins with a loss of ln 3 and a third right, from zero", () => {
    expect(softmaxScore(samples, new Float32Array(9)).loss).toBeCloseTo(Math.log(3), 6);
  });
});

describe("training curves", () => {
  it("are those of the uncompressed run where the codec gives the mean, and count its bytes", async () => {
    const samples = { train: clouds(500, "train"), test: clouds(200, "test") };
    const lab = new CodecLab({
      ...{ codec: Mean, serverCodec: undefined, sync: "ssgd", parameters: {} },
      ...{ nodeCount: 3, redundancy: 1, seed: 1, callTimeoutMs: 5000 },
    });
    const { codec, uncompressed, links, tensors, staleness } = await trainingCurves(lab, samples);
    expect(codec.map(({ step }) => step)).toEqual(uncompressed.map(({ step }) => step));
    for (const [i, point] of codec.entries())
      expect(point.loss).toBeCloseTo(uncompressed[i]!.loss, 3);
    expect(codec.at(-1)!.accuracy).toBeGreaterThan(0.95);
    // Nine values in fp32, to two others, from three nodes; the codec's messages have some 20 bytes around them.
    expect(uncompressed.at(-1)!.bytes).toBe(120 * 6 * 36);
    expect(links).toHaveLength(6);
    const sent = links.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(sent).toBeGreaterThan(120 * 6 * 36);
    expect(sent).toBeLessThan(120 * 6 * (36 + 120));
    expect(tensors.map(({ name }) => name)).toEqual(["kernel", "bias"]);
    expect(tensors[0]!.bytes).toBeGreaterThan(tensors[1]!.bytes);
    expect(staleness.reduce((sum, [, messages]) => sum + messages, 0)).toBe(120 * 6);
  });
});

import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { Cluster, answerOf, shuffled } from "../testing/cluster.js";
import {
  Chain,
  errorFeedback,
  everySteps,
  fp16,
  over,
  pipe,
  quantize,
  subtract,
  throughServer,
  topK,
} from "./index.js";
import { Compression } from "./error-feedback.js";
import { decodePositions, encodePositions } from "./positions.js";
import { largestPositions } from "./top-k.js";

const random = seededRandom("sparsifiers");

function gaussian(size: number): Float32Array {
  return Float32Array.from({ length: size }, () => random.normal());
}

/** By sorting all of it: magnitudes first, positions second. */
function sorted(values: Float32Array, k: number): number[] {
  return [...values.keys()]
    .filter((i) => values[i] !== 0)
    .sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]) || a - b)
    .slice(0, k)
    .sort((a, b) => a - b);
}

describe("topK", () => {
  it.each([
    ["gaussian", gaussian(50_000)],
    ["of heavy tails", gaussian(20_000).map((value) => value ** 9)],
    ["all alike", new Float32Array(20_000).fill(0.5)],
    ["of few different values", gaussian(20_000).map((value) => Math.round(value))],
    ["almost all 0", gaussian(20_000).map((value, i) => (i % 400 === 0 ? value : 0))],
    ["ascending", Float32Array.from({ length: 20_000 }, (_, i) => i)],
    ["large in one place", gaussian(20_000).map((value, i) => (i < 300 ? 1000 * value : value))],
    [
      "repeating with the sample",
      Float32Array.from({ length: 20_480 }, (_, i) => (i % 20 === 0 ? 9 : 1) + i * 1e-6),
    ],
    ["few", gaussian(5)],
  ])("picks the largest of values that are %s", (_, values) => {
    for (const k of [
      1,
      2,
      5,
      Math.ceil(values.length / 1000),
      Math.ceil(values.length / 100),
      Math.ceil(values.length / 3),
    ]) {
      if (k > values.length) continue;
      expect([...largestPositions(values, k)], `k = ${k}`).toEqual(sorted(values, k));
    }
  });

  it.each([0, -0.1, 1.5, NaN])("refuses a fraction of %d", (fraction) => {
    expect(() => topK(fraction)).toThrow("expected a number above 0 and at most 1");
  });
});

describe("positions", () => {
  it.each([
    ["one", [0], 1],
    ["the last", [999_999], 1_000_000],
    ["all", Array.from({ length: 1000 }, (_, i) => i), 1000],
    ["clustered far out", [1, 2, 3, 900_000, 900_001], 1_000_000],
    ["of 100 million", [5, 99_999_999], 100_000_000],
  ])("come back: %s", (_, positions, size) => {
    const coded = encodePositions(Uint32Array.from(positions), size);
    expect([...decodePositions(coded, size)]).toEqual(positions);
  });

  it("cost about 8.2 bits each at 1 %, near the entropy of 8.08", () => {
    const size = 1_000_000;
    const positions = Uint32Array.from(
      Array.from({ length: size }, (_, i) => i).filter(() => random.float() < 0.01),
    );
    const bits = (8 * (encodePositions(positions, size).length - 4)) / positions.length;
    expect(bits).toBeGreaterThan(8);
    expect(bits).toBeLessThan(8.3);
    expect(decodePositions(encodePositions(positions, size), size)).toEqual(positions);
  });

  it("are refused where nobody writes such bytes, and never lie outside", () => {
    let refused = 0;
    for (let trial = 0; trial < 500; trial++) {
      const bytes = Uint8Array.from({ length: trial % 40 }, () => random.uint32() & 255);
      // A number of positions that may be.
      if (bytes.length >= 4) bytes.set([1 + (trial % 20), 0, 0, 0]);
      try {
        const positions = decodePositions(bytes, 1000);
        expect(
          positions.every(
            (position, i) => position < 1000 && (i === 0 || position > positions[i - 1]),
          ),
        ).toBe(true);
      } catch (error) {
        expect(String(error)).toContain("WIRE_MALFORMED");
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(400);
  });
});

describe("a chain", () => {
  const segments = [{ offset: 0, size: 3000 }];

  it("sends the largest values, quantized, and nothing else", () => {
    const values = gaussian(3000);
    const chain = new Chain(topK(0.01), fp16());
    const { positions, values: sent } = chain.decode(
      chain.encode(values, segments, random),
      3000,
      segments,
    );
    expect([...positions!]).toEqual(sorted(values, 30));
    for (const [i, position] of positions!.entries())
      expect(Math.abs(sent[i] / values[position] - 1)).toBeLessThan(2 ** -11);
  });

  it.each([
    [undefined, "expected a list of 2"],
    [[null, new Uint8Array(4)], "positions of a packet: expected bytes, got none"],
    [[new Uint8Array(4), "x"], "values of a packet: expected bytes, got string"],
    [[new Uint8Array(4), new Uint8Array(4)], "positions: expected 1 to 3000, got 0"],
  ])("refuses malformed packets %#", (packet, text) => {
    expect(() => new Chain(topK(0.01), fp16()).decode(packet, 3000, segments)).toThrow(text);
  });

  it("with error feedback, leaves out nothing for good: what was sent and the residual are the sum of all", () => {
    const chain = new Chain(topK(0.02), quantize(4));
    const compression = new Compression(chain, 1);
    const sum = new Float64Array(3000);
    const left = new Float32Array(3000);
    for (let step = 0; step < 50; step++) {
      const gradient = gaussian(3000);
      for (let i = 0; i < 3000; i++) sum[i] += gradient[i];
      const { decoded } = compression.compress(gradient, segments, random);
      subtract(left, decoded);
    }
    const { residual } = compression;
    for (let i = 0; i < 3000; i++)
      expect(Math.abs(sum[i] + left[i] - residual![i])).toBeLessThan(50 * 2 ** -20);
  });
});

describe("pipe", () => {
  it("names the codec after its parts", () => {
    expect(pipe(errorFeedback(), topK(0.01), quantize(8)).name).toBe(
      "pipe(errorFeedback, topK(0.01), quantize(8))",
    );
  });

  it.each([
    [
      [quantize(8), topK(0.01)],
      "expected feedback, then sparsifier, then quantizer, got quantize(8), topK(0.01)",
    ],
    [[quantize(8), quantize(4)], "expected each kind of part once, got two of the kind quantizer"],
    [[topK(0.1), errorFeedback()], "expected feedback, then sparsifier"],
  ] as const)("refuses parts that do not go together %#", (parts, text) => {
    expect(() => pipe(...parts)).toThrow(text);
  });
});

describe("a pipe over a graph", () => {
  it.each(["mesh", "ring", "star", "exponential", "hierarchical:2", "[[1],[2],[3],[4],[0]]"])(
    "gives all nodes the same bits and sends each packet to each node once: %s",
    (topology) => {
      const Codec = pipe(errorFeedback(), topK(0.2), quantize(8), over(topology));
      const Direct = pipe(errorFeedback(), topK(0.2), quantize(8));
      const cluster = new Cluster({ codec: Codec, nodeCount: 5, size: 50 });
      const direct = new Cluster({ codec: Direct, nodeCount: 5, size: 50 });
      for (let step = 0; step < 4; step++) {
        const input = ({ node }: { node: number }): Float32Array => {
          const draws = seededRandom(`${node}/${step}`);
          return Float32Array.from({ length: 50 }, () => draws.normal());
        };
        const expected = direct.runStep(step, input);
        for (const result of cluster.runStep(step, input, shuffled(`${topology}/${step}`)))
          expect(result).toEqual(expected[0]);
        expect(cluster.sent.splice(0)).toHaveLength(20);
      }
    },
  );

  it("lets nodes take steps of their own, and agree afterwards", () => {
    const Codec = pipe(quantize(8), everySteps(3), over("ring"));
    const cluster = new Cluster({ codec: Codec, nodeCount: 4, size: 8, stepCount: 30 });
    for (let step = 0; step < 6; step++) {
      const results = cluster.runStep(step, ({ node }) => new Float32Array(8).fill(node + step));
      const mean = step + 1.5;
      for (const [node, result] of results.entries()) {
        const expected = step % 3 === 2 ? mean : node + step;
        expect(Math.abs(result![0] - expected)).toBeLessThan(0.1);
      }
      if (step % 3 === 2) for (const result of results) expect(result).toEqual(results[0]);
    }
  });

  it("may go through the server instead", () => {
    const Codec = pipe(errorFeedback(), quantize(8), throughServer());
    const cluster = new Cluster({ codec: Codec, server: Codec.server!, nodeCount: 3, size: 4 });
    const results = cluster.runStep(0, ({ node }) => [node, -node, 1, 0]);
    for (const [i, value] of [1, -1, 1, 0].entries())
      for (const result of results) expect(result![i]).toBeCloseTo(value, 2);
    expect(cluster.sent.length).toBe(6);
    const [, , packet] = cluster.sent[0].content as unknown[];
    expect(() => answerOf(cluster.server, [0, 1e9, packet])).toThrow(
      "step: expected a whole number from 0 to 99, got 1000000000",
    );
    expect(() => pipe(quantize(8), throughServer(), everySteps(2))).toThrow(
      "a server, or a schedule",
    );
  });
});

describeCodec(
  "pipe(errorFeedback(), topK(0.3), quantize(8))",
  pipe(errorFeedback(), topK(0.3), quantize(8)),
  {
    seedCount: 60,
  },
);
describeCodec("pipe over a ring", pipe(errorFeedback(), quantize(4), over("ring")), {
  nodeCount: 4,
  seedCount: 60,
});
describeCodec("pipe through the server", pipe(errorFeedback(), quantize(8), throughServer()), {
  seedCount: 60,
});

import { seededRandom } from "@psgd/core";
import { describe, expect, it } from "vitest";
import { aggregatorNamed } from "./index.js";

const OPTIONS = { byzantine: 2, chosen: 3, radius: 2 };
const NAMES = [
  "median",
  "trimmed_mean",
  "krum",
  "multi_krum",
  "geometric_median",
  "centered_clipping",
];
const N = 9;
const D = 6;

function honest(seed: string, count = N): Float32Array[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () =>
    Float32Array.from({ length: D }, () => 1 + 0.2 * random.normal()),
  );
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.hypot(...Array.from(a, (value, i) => value - b[i]));

function meanOfAll(vectors: readonly Float32Array[]): number[] {
  return Array.from({ length: D }, (_, i) =>
    vectors.reduce((sum, vector) => sum + vector[i] / vectors.length, 0),
  );
}

describe.each(NAMES)("%s", (name) => {
  const aggregator = aggregatorNamed(name, OPTIONS);

  it("gives the vector that all have, if they are alike", () => {
    const same = honest("same", 1)[0];
    const result = aggregator.aggregate(new Array<Float32Array>(N).fill(same), same);
    expect(distance(result, same)).toBeLessThan(1e-5);
  });

  it("leaves its input alone, and gives the same again", () => {
    const vectors = honest("again");
    const before = vectors.map((vector) => vector.slice());
    const first = aggregator.aggregate(vectors);
    expect(aggregator.aggregate(vectors)).toEqual(first);
    expect(vectors).toEqual(before);
  });

  it.each([
    ["far away", (vector: Float32Array) => vector.map(() => 1e6)],
    ["upside down", (vector: Float32Array) => vector.map((value) => -10 * value)],
    ["zero", (vector: Float32Array) => vector.map(() => 0)],
    [
      "huge in one place",
      (vector: Float32Array) => vector.map((value, i) => (i === 3 ? 1e20 : value)),
    ],
  ] as const)("stays with the honest ones where two of nine lie: %s", (_, lie) => {
    for (let seed = 0; seed < 20; seed++) {
      const vectors = honest(`${seed}`);
      const truth = meanOfAll(vectors.slice(2));
      const lying = vectors.map((vector, node) => (node < 2 ? lie(vector) : vector));
      // Clipping goes on from where it was: two that pull by at most 2/9 of the radius, three times.
      const result = aggregator.aggregate(lying, Float32Array.from(truth));
      expect(distance(result, truth), `seed ${seed}`).toBeLessThan(
        name === "centered_clipping" ? (3 * 2 * OPTIONS.radius) / N + 0.1 : 0.8,
      );
    }
  });

  it.each([NaN, Infinity, -Infinity])("refuses %s first, and says where it is", (value) => {
    const vectors = honest("not finite");
    vectors[7][4] = value;
    expect(() => aggregator.aggregate(vectors)).toThrow(
      `NOT_FINITE: vector 7: expected finite numbers, got ${value} at 4`,
    );
  });

  it("refuses fewer vectors than those that lie allow, and takes just enough", () => {
    const least = name.endsWith("krum") ? 2 * 2 + 3 : 2 * 2 + 1;
    expect(() => aggregator.aggregate(honest("few", least - 1))).toThrow(
      `SETTINGS_INVALID: ${name}: expected at least ${least} nodes to stand 2 that lie, got ${least - 1}`,
    );
    expect(aggregator.aggregate(honest("few", least)).every(Number.isFinite)).toBe(true);
  });

  it("does not care who is who", () => {
    const vectors = honest("order");
    const result = aggregator.aggregate(vectors);
    for (let turn = 1; turn < N; turn++) {
      const turned = [...vectors.slice(turn), ...vectors.slice(0, turn)];
      expect(distance(aggregator.aggregate(turned), result)).toBeLessThan(1e-6);
    }
  });

  it.each([
    ["on one side", 1e30, 1e30],
    ["on both sides", 1e30, -1e30],
    ["at the largest number there is", 3.4e38, 3.4e38],
  ])("keeps its bound where f nodes send as much as they can %s", (_, one, other) => {
    for (let seed = 0; seed < 20; seed++) {
      const good = honest(`bound ${seed}`, N - 2);
      const lies = [one, other].map((value) => new Float32Array(D).fill(value));
      const previous = Float32Array.from(meanOfAll(good));
      const options = { ...OPTIONS, chosen: N - 2 };
      const result = aggregatorNamed(name, options).aggregate([...lies, ...good], previous);
      expect(breach(name, result, good, previous), `seed ${seed}`).toBeLessThan(1e-5);
    }
  });
});

/** By how much a result is beyond what its rule promises of n − f honest vectors, whatever the others are. */
function breach(
  name: string,
  result: Float32Array,
  good: readonly Float32Array[],
  previous: Float32Array,
): number {
  switch (name) {
    // Each value lies among those of honest nodes.
    case "median":
    case "trimmed_mean":
      return Math.max(
        ...Array.from(result, (value, i) => {
          const column = good.map((vector) => vector[i]);
          return Math.max(Math.min(...column) - value, value - Math.max(...column));
        }),
      );
    case "krum":
      return Math.min(...good.map((vector) => distance(vector, result)));
    case "multi_krum":
      return distance(result, meanOfAll(good));
    // Honest ones r around c, z at Δ from c: Σ‖xᵢ − z‖ ≤ Σ‖xᵢ − c‖ gives (n − f)(Δ − r) − f Δ ≤ (n − f) r.
    case "geometric_median": {
      const centre = meanOfAll(good);
      const radius = Math.max(...good.map((vector) => distance(vector, centre)));
      return distance(result, centre) - ((2 * good.length) / (good.length - 2)) * radius;
    }
    // Three rounds, in each of which nobody pulls by more than τ / n, and honest ones, within τ, pull back.
    default:
      return distance(result, previous) - (3 * 2 * OPTIONS.radius) / N;
  }
}

describe("aggregators", () => {
  it("are what their definitions say, computed another way", () => {
    for (let seed = 0; seed < 20; seed++) {
      const vectors = honest(`oracle ${seed}`);
      const columns = Array.from({ length: D }, (_, i) =>
        vectors.map((vector) => vector[i]).sort((a, b) => a - b),
      );
      const of = (name: string): Float32Array => aggregatorNamed(name, OPTIONS).aggregate(vectors);
      expect(
        distance(
          of("median"),
          columns.map((column) => column[4]),
        ),
      ).toBeLessThan(1e-6);
      const trimmed = columns.map((column) => column.slice(2, 7).reduce((a, b) => a + b) / 5);
      expect(distance(of("trimmed_mean"), trimmed)).toBeLessThan(1e-6);
      const scores = vectors.map((vector, own) =>
        vectors
          .filter((_, other) => other !== own)
          .map((other) => distance(vector, other) ** 2)
          .sort((a, b) => a - b)
          .slice(0, N - 2 - 2)
          .reduce((a, b) => a + b),
      );
      expect(of("krum")).toEqual(vectors[scores.indexOf(Math.min(...scores))]);
      const best = [...scores.keys()].sort((a, b) => scores[a] - scores[b]).slice(0, 3);
      expect(distance(of("multi_krum"), meanOfAll(best.map((node) => vectors[node])))).toBeLessThan(
        1e-6,
      );
      // No step in any direction makes the sum of distances smaller.
      const median = of("geometric_median");
      const cost = (point: ArrayLike<number>): number =>
        vectors.reduce((sum, vector) => sum + distance(vector, point), 0);
      for (let i = 0; i < D; i++)
        for (const step of [0.01, -0.01])
          expect(cost(median.map((value, k) => value + (k === i ? step : 0)))).toBeGreaterThan(
            cost(median),
          );
    }
  });

  it("have the median of an even number in the middle of two", () => {
    const vectors = [1, 5, 2, 100].map((value) => Float32Array.of(value));
    expect([...aggregatorNamed("median", { ...OPTIONS, byzantine: 1 }).aggregate(vectors)]).toEqual(
      [3.5],
    );
  });

  it("clip what each adds to the last result", () => {
    const clipping = aggregatorNamed("centered_clipping", {
      ...OPTIONS,
      byzantine: 0,
      radius: 3,
    });
    // From 0 the mean of 3 and −1, 1; from there that of 3 and −2, 0.5; and of 3 and −2.5, 0.25.
    const result = clipping.aggregate([Float32Array.of(1000), Float32Array.of(-1)]);
    expect(result[0]).toBeCloseTo(1.75, 5);
  });

  it.each([
    [
      "mode",
      OPTIONS,
      'expected one of mean, median, trimmed_mean, krum, multi_krum, geometric_median, centered_clipping, got "mode"',
    ],
    [
      "krum",
      { ...OPTIONS, byzantine: -1 },
      "parameter `byzantine`: expected a whole number from 0",
    ],
  ] as const)("are refused: %s", (name, options, text) => {
    expect(() => aggregatorNamed(name, options)).toThrow(text);
  });
});

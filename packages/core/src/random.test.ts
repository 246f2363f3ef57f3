import { describe, expect, it } from "vitest";
import { permutation, seededRandom } from "./random.js";

/** sfc32 as PractRand has it, seeded with three words, in BigInt arithmetic. */
function* sfc32(words: readonly bigint[]): Generator<number> {
  const mask = 0xffffffffn;
  let [a, b, c] = words as [bigint, bigint, bigint];
  let counter = 1n;
  for (;;) {
    const out = (a + b + counter++) & mask;
    a = b ^ (b >> 9n);
    b = (c + (c << 3n)) & mask;
    c = (((c << 21n) | (c >> 11n)) + out) & mask;
    yield Number(out);
  }
}

/** FNV-1a (with another basis) and the finaliser of MurmurHash3, in BigInt arithmetic. */
function hash(text: string, basis: bigint): bigint {
  const mask = 0xffffffffn;
  let value = basis;
  for (const character of text) {
    value = ((value ^ BigInt(character.charCodeAt(0))) * 0x01000193n) & mask;
  }
  value = ((value ^ (value >> 16n)) * 0x85ebca6bn) & mask;
  value = ((value ^ (value >> 13n)) * 0xc2b2ae35n) & mask;
  return value ^ (value >> 16n);
}

const draw = (count: number, next: () => number): number[] => Array.from({ length: count }, next);

describe("seeded randomness", () => {
  it.each(["7", "job 42/node 3", ""])("is sfc32 from the hashes of seed %o", (seed) => {
    const oracle = sfc32([0x9e3779b9n, 0x243f6a88n, 0xb7e15162n].map((basis) => hash(seed, basis)));
    for (let i = 0; i < 12; i++) oracle.next();
    const random = seededRandom(seed);
    expect(draw(1000, () => random.uint32())).toEqual(
      draw(1000, () => oracle.next().value as number),
    );
  });

  it("repeats from its seed, and differs for another", () => {
    const first = (seed: number | string): number[] => {
      const random = seededRandom(seed);
      return draw(5, () => random.uint32());
    };
    expect(first(1)).toEqual(first(1));
    expect(first(1)).toEqual(first("1"));
    expect(first(1)).not.toEqual(first(2));
  });

  it("forks sources that neither draws nor other forks shift", () => {
    const parent = seededRandom("job");
    const before = parent.fork("node 1");
    parent.uint32();
    parent.fork("node 0").uint32();
    const after = parent.fork("node 1");
    const values = draw(5, () => before.uint32());
    expect(draw(5, () => after.uint32())).toEqual(values);
    const other = parent.fork("node 2");
    expect(draw(5, () => other.uint32())).not.toEqual(values);
  });

  it("draws floats uniformly from [0, 1)", () => {
    const random = seededRandom("floats");
    const counts = new Array<number>(16).fill(0);
    for (const value of draw(160_000, () => random.float())) {
      expect(value >= 0 && value < 1).toBe(true);
      counts[Math.floor(value * 16)]!++;
    }
    // Chi-square with 15 degrees of freedom exceeds 44.3 once in 10 000 seeds.
    const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    expect(chiSquare).toBeLessThan(44.3);
  });

  it("draws normals with the moments of a standard normal", () => {
    const random = seededRandom("normals");
    const values = draw(100_000, () => random.normal());
    const moment = (power: number): number =>
      values.reduce((sum, value) => sum + value ** power, 0) / values.length;
    // Within 5 standard errors of 0, 1, 0, 3; those are √(1, 2, 15, 96) / √100 000.
    expect(Math.abs(moment(1))).toBeLessThan(0.016);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.023);
    expect(Math.abs(moment(3))).toBeLessThan(0.062);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.155);
  });
});

describe("permutation", () => {
  it("has each index once", () => {
    const order = permutation(1000, seededRandom(3));
    expect([...order].sort((a, b) => a - b)).toEqual(draw(1000, Number).map((_, i) => i));
    expect([...permutation(0, seededRandom(3))]).toEqual([]);
    expect([...permutation(1, seededRandom(3))]).toEqual([0]);
  });

  it("gives all orders equally often", () => {
    const counts = new Map<string, number>();
    const random = seededRandom("orders");
    for (let i = 0; i < 6000; i++) {
      const order = permutation(3, random).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    // Chi-square with 5 degrees of freedom exceeds 25.7 once in 10 000 seeds.
    const deviations = [...counts.values()].map((count) => (count - 1000) ** 2 / 1000);
    expect(counts.size).toBe(6);
    expect(deviations.reduce((sum, deviation) => sum + deviation, 0)).toBeLessThan(25.7);
  });
});

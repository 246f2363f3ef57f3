import { describe, expect, it } from "vitest";
import { seededRandom } from "./random.js";
import { meanOf } from "./vector.js";

describe("meanOf", () => {
  it("is the mean of each element, also beyond one chunk", () => {
    const size = 2500;
    const vectors = [0, 1, 2].map((k) => Float32Array.from({ length: size }, (_, i) => i + 3 * k));
    expect([...meanOf(vectors)]).toEqual(Array.from({ length: size }, (_, i) => i + 3));
  });

  it("weighs vectors by their shares", () => {
    const vectors = [Float32Array.of(0, 8), Float32Array.of(4, 0)];
    expect([...meanOf(vectors, [1, 3])]).toEqual([3, 2]);
    expect([...meanOf(vectors, [0, 2])]).toEqual([4, 0]);
  });

  it.each([1, 2, 3, 5, 7, 10, 100])("of %i equal vectors is that vector, to the bit", (count) => {
    const random = seededRandom(`equal ${count}`);
    const vector = Float32Array.from(
      { length: 2000 },
      () => random.normal() * 10 ** random.normal(),
    );
    const copies = Array.from({ length: count }, () => vector);
    expect(meanOf(copies)).toEqual(vector);
    expect(
      meanOf(
        copies,
        copies.map((_, k) => k + 1),
      ),
    ).toEqual(vector);
  });

  it("rounds once: small values survive beside a large one that cancels", () => {
    const vectors = [1e8, 1, -1e8].map((value) => Float32Array.of(value));
    expect([...meanOf(vectors)]).toEqual([Math.fround(1 / 3)]);
  });

  it("is a new vector, and leaves the others alone", () => {
    const vector = Float32Array.of(1, 2);
    const mean = meanOf([vector]);
    mean[0] = 9;
    expect([...vector]).toEqual([1, 2]);
  });

  it("carries NaN and infinity to the element they are in", () => {
    const mean = meanOf([Float32Array.of(NaN, 1, Infinity), Float32Array.of(1, 1, 1)]);
    expect([...mean]).toEqual([NaN, 1, Infinity]);
  });
});

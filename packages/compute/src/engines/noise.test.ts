import { describe, expect, it } from "vitest";
import type { PlanNoise } from "@psgd/core";
import { fillNoise } from "./noise.js";

const COUNT = 200_000;
const key = { seed: 3, step: 7, index: 0 };

function draw(noise: Partial<PlanNoise>, at = key, count = COUNT): Float32Array {
  const out = new Float32Array(count);
  fillNoise({ value: 0, distribution: "uniform", offset: 0, scale: 1, ...noise }, at, out);
  return out;
}

function moments(values: Float32Array): { mean: number; variance: number } {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  return { mean, variance: values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length };
}

/** The largest distance of the values' distribution to a given one (Kolmogorov and Smirnov). */
function distance(values: Float32Array, distribution: (x: number) => number): number {
  const sorted = values.slice().sort();
  return sorted.reduce(
    (largest, value, i) =>
      Math.max(largest, Math.abs((i + 0.5) / sorted.length - distribution(value))),
    0,
  );
}

/** At this distance, one of a million samples of the right distribution would be refused. */
const LIMIT = 2.7 / Math.sqrt(COUNT);

/** The normal distribution function; Abramowitz and Stegun, 7.1.26, good to 1.5e-7. */
function normalDistribution(x: number): number {
  const t = 1 / (1 + (0.3275911 * Math.abs(x)) / Math.SQRT2);
  const polynomial =
    t *
    (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const erf = 1 - polynomial * Math.exp((-x * x) / 2);
  return x < 0 ? (1 - erf) / 2 : (1 + erf) / 2;
}

describe("noise", () => {
  it("repeats from its key, and differs with each part of it", () => {
    const first = draw({}, key, 100);
    expect(draw({}, { ...key }, 100)).toEqual(first);
    for (const other of [{ seed: 4 }, { step: 8 }, { index: 1 }]) {
      const values = draw({}, { ...key, ...other }, 100);
      expect(values.filter((value, i) => value === first[i]).length).toBeLessThan(3);
    }
  });

  it("is the same at a place, however much is drawn", () => {
    expect(draw({ distribution: "truncatedNormal" }, key, 10)).toEqual(
      draw({ distribution: "truncatedNormal" }).subarray(0, 10),
    );
  });

  it("is uniform over [0, 1)", () => {
    const values = draw({});
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
    expect(distance(values, (x) => x)).toBeLessThan(LIMIT);
  });

  it("is normal", () => {
    expect(distance(draw({ distribution: "normal" }), normalDistribution)).toBeLessThan(LIMIT);
  });

  it("is normal and never beyond two deviations", () => {
    const values = draw({ distribution: "truncatedNormal" });
    expect(values.every((value) => Math.abs(value) <= 2)).toBe(true);
    const [low, high] = [normalDistribution(-2), normalDistribution(2)];
    const truncated = (x: number): number => (normalDistribution(x) - low) / (high - low);
    expect(distance(values, truncated)).toBeLessThan(LIMIT);
  });

  it("is scaled, then shifted", () => {
    const { mean, variance } = moments(draw({ distribution: "normal", offset: 3, scale: 0.5 }));
    expect(Math.abs(mean - 3)).toBeLessThan((5 * 0.5) / Math.sqrt(COUNT));
    expect(Math.abs(variance / 0.25 - 1)).toBeLessThan(5 * Math.sqrt(2 / COUNT));
  });

  it("does not go along with its neighbours, in place or step", () => {
    const values = draw({});
    const other = draw({}, { ...key, step: key.step + 1 });
    const correlation = (a: Float32Array, b: Float32Array): number => {
      const [ofA, ofB] = [moments(a), moments(b)];
      const sum = a.reduce((s, v, i) => s + (v - ofA.mean) * (b[i]! - ofB.mean), 0);
      return sum / a.length / Math.sqrt(ofA.variance * ofB.variance);
    };
    const limit = 5 / Math.sqrt(COUNT);
    expect(Math.abs(correlation(values.subarray(1), values.subarray(0, -1)))).toBeLessThan(limit);
    expect(Math.abs(correlation(values, other))).toBeLessThan(limit);
  });
});

import { meanOf } from "@psgd/core";
import { squaredDistance, type Aggregator } from "./aggregator.js";
import { coordinateMedian } from "./coordinate-median.js";

const ROUNDS = 32;
/** Keeps a vector that is met exactly from having all the weight; a part of the distance that most have. */
const SMOOTHING = 1e-6;

/**
 * The vector with the least sum of distances to all: less than half of the nodes cannot move it far. Smoothed Weiszfeld
 * from the median of each value, as the mean may lie wherever one node wants it: each vector counts 1 / distance (Pillutla et al. 2022, arXiv 1912.13445, Algorithm 2).
 */
export function geometricMedian(byzantine: number): Aggregator {
  return {
    name: "geometric_median",
    leastCount: 2 * byzantine + 1,
    aggregate(vectors) {
      let median = coordinateMedian(byzantine).aggregate(vectors);
      for (let round = 0; round < ROUNDS; round++) {
        const lengths = vectors.map((vector) => Math.sqrt(squaredDistance(vector, median)));
        const usual = [...lengths].sort((a, b) => a - b)[lengths.length >> 1];
        // Most are alike, and this is what they are.
        if (usual === 0) break;
        const least = SMOOTHING * usual;
        const next = meanOf(
          vectors,
          lengths.map((length) => 1 / Math.max(length, least)),
        );
        const moved = squaredDistance(next, median);
        median = next;
        if (moved <= (1e-7 * usual) ** 2) break;
      }
      return median;
    },
  };
}

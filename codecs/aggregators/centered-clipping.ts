import { squaredDistance, type Aggregator } from "./aggregator.js";

const ROUNDS = 3;

/**
 * From the last result on, the mean of what all vectors add to it, none of which counts for more than a length of τ
 * (Karimireddy et al. 2021, arXiv 2012.10333, section 4); three times. In each round n nodes cannot move it by more than τ,
 * f of them by f τ / n.
 *
 * @param radius - τ, in the unit of what is aggregated: learning rate times gradient
 */
export function centeredClipping(byzantine: number, radius: number): Aggregator {
  return {
    name: "centered_clipping",
    leastCount: 2 * byzantine + 1,
    aggregate(vectors, previous) {
      const centre = previous?.slice() ?? new Float32Array(vectors[0].length);
      for (let round = 0; round < ROUNDS; round++) {
        const shares = vectors.map((vector) => {
          const length = Math.sqrt(squaredDistance(vector, centre));
          return Math.min(1, radius / Math.max(length, Number.MIN_VALUE)) / vectors.length;
        });
        const before = centre.slice();
        for (const [node, vector] of vectors.entries())
          for (let i = 0; i < centre.length; i++)
            centre[i] += shares[node] * (vector[i] - before[i]);
      }
      return centre;
    },
  };
}

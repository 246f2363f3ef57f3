import { meanOf } from "@psgd/core";
import { squaredDistance, type Aggregator } from "./aggregator.js";

/**
 * The vector whose n − f − 2 nearest others are nearest, or the mean of the m best such (multi-Krum): somebody who lies must
 * lie near the others to be chosen (Blanchard et al. 2017, arXiv 1703.02757, section 4). Of equally good ones the first.
 *
 * @param chosenCount - m, 1 for Krum
 */
export function krum(byzantine: number, chosenCount: number): Aggregator {
  return {
    name: chosenCount === 1 ? "krum" : "multi_krum",
    leastCount: Math.max(2 * byzantine + 3, chosenCount),
    aggregate(vectors) {
      const count = vectors.length;
      const distances = vectors.map(() => new Float64Array(count));
      for (let a = 0; a < count; a++)
        for (let b = 0; b < a; b++)
          distances[a][b] = distances[b][a] = squaredDistance(vectors[a], vectors[b]);
      const scores = distances.map((row, own) => {
        const others = row.filter((_, other) => other !== own).sort();
        return others.subarray(0, count - byzantine - 2).reduce((sum, value) => sum + value, 0);
      });
      const best = scores
        .map((score, node) => ({ score, node }))
        .sort((a, b) => a.score - b.score || a.node - b.node)
        .slice(0, chosenCount)
        .map(({ node }) => node)
        .sort((a, b) => a - b);
      return meanOf(best.map((node) => vectors[node]));
    },
  };
}

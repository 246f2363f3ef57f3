import type { Aggregator } from "./aggregator.js";
import { sortedColumns } from "./sorted-columns.js";

/**
 * The mean of each value without its f smallest and f largest (Yin et al. 2018, arXiv 1803.01498, Algorithm 1, option II).
 */
export function trimmedMean(byzantine: number): Aggregator {
  return {
    name: "trimmed_mean",
    leastCount: 2 * byzantine + 1,
    aggregate(vectors) {
      const end = vectors.length - byzantine;
      return sortedColumns(vectors, (column) => {
        let sum = 0;
        for (let i = byzantine; i < end; i++) sum += column[i];
        return sum / (end - byzantine);
      });
    },
  };
}

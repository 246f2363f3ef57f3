import type { Aggregator } from "./aggregator.js";
import { sortedColumns } from "./sorted-columns.js";

/**
 * The median of each value, or the mean of the two in the middle: less than half of the nodes cannot move it beyond what
 * the others have (Yin et al. 2018, arXiv 1803.01498, Algorithm 1, option I).
 */
export function coordinateMedian(byzantine: number): Aggregator {
  return {
    name: "median",
    leastCount: 2 * byzantine + 1,
    aggregate(vectors) {
      const low = (vectors.length - 1) >> 1;
      const high = vectors.length >> 1;
      return sortedColumns(vectors, (column) => (column[low] + column[high]) / 2);
    },
  };
}

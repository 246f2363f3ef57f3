import type { NodeId } from "@psgd/core";
import { reachedFrom } from "./routes.js";
import type { Topology } from "./topology.js";

/** weights[i][j]: how much node i takes of what node j has. */
export type MixingMatrix = readonly (readonly number[])[];

/**
 * Who takes how much of whom in a step. Between nodes that send to each other, Metropolis–Hastings: 1 / (1 + the larger
 * number of neighbours), which keeps the mean (Xiao & Boyd 2004, section 4); where ways go one way, equal shares.
 */
export function mixingMatrix(topology: Topology, step: number): MixingMatrix {
  const lists = neighboursIn(topology, step);
  const isMutual = lists.every((list, node) => list.every((other) => lists[other].includes(node)));
  if (!isMutual) return equalShares(topology, step);
  return fromShares(lists, (from, to) => 1 / (1 + Math.max(lists[from].length, lists[to].length)));
}

/**
 * Each node deals out equal shares of what it has, to itself and to those it sends to, whoever they are: that keeps the
 * sum (Assran et al. 2019, section 3).
 */
export function equalShares(topology: Topology, step: number): MixingMatrix {
  const lists = neighboursIn(topology, step);
  return fromShares(lists, (from) => 1 / (1 + lists[from].length));
}

function neighboursIn(topology: Topology, step: number): readonly (readonly NodeId[])[] {
  return Array.from({ length: topology.nodeCount }, (_, node) => topology.neighbours(node, step));
}

function fromShares(
  lists: readonly (readonly NodeId[])[],
  shareOf: (from: NodeId, to: NodeId) => number,
): MixingMatrix {
  const matrix = lists.map(() => new Array<number>(lists.length).fill(0));
  for (const [from, list] of lists.entries())
    for (const to of list) matrix[to][from] = shareOf(from, to);
  // What nobody else takes stays.
  for (let node = 0; node < lists.length; node++)
    matrix[node][node] = 1 - matrix.reduce((sum, row) => sum + row[node], 0);
  return matrix;
}

/** Periods looked at, at most: a power of two. */
const MOST_PERIODS = 2 ** 40;

/**
 * Steps in which the distance from the mean of all nodes shrinks to 1/e, in the worst case: from the largest singular
 * value of the matrices without their common part, over as many periods as that takes. Over one period alone the distance
 * may grow: where ways go one way, some nodes gather what many have.
 */
export function mixingTime(topology: Topology): number {
  const { period } = topology;
  let matrix = mixingMatrix(topology, 0);
  for (let step = 1; step < period; step++) matrix = product(mixingMatrix(topology, step), matrix);
  for (let periods = 1; ; periods *= 2) {
    const shrinkage = largestSingularValue(matrix);
    if (shrinkage < 1e-12) return periods * period;
    if (shrinkage < 1 / Math.E || periods === MOST_PERIODS)
      return (-periods * period) / Math.log(Math.min(shrinkage, 1 - 1e-12));
    matrix = product(matrix, matrix);
  }
}

/** Of what a matrix does to vectors whose sum is 0, by power iteration. */
function largestSingularValue(matrix: MixingMatrix): number {
  let value = 0;
  let vector = matrix.map((_, i) => Math.sin(1 + i) + 0.1 * i);
  for (let round = 0; round < 1000; round++) {
    vector = withoutMean(vector);
    const length = Math.hypot(...vector);
    if (length === 0) break;
    const mixed = withoutMean(
      times(
        matrix,
        vector.map((each) => each / length),
      ),
    );
    const before = value;
    value = Math.hypot(...mixed);
    if (value < 1e-12 || Math.abs(value - before) < 1e-14 * value) break;
    vector = timesTransposed(matrix, mixed);
  }
  return value;
}

/** Bytes that all nodes send in a step, on average over a period, if each tells its neighbours so many. */
export function bytesPerStep(topology: Topology, payloadBytes: number): number {
  let count = 0;
  for (let step = 0; step < topology.period; step++)
    for (let node = 0; node < topology.nodeCount; node++)
      count += topology.neighbours(node, step).length;
  return (count / topology.period) * payloadBytes;
}

/** With more nodes the mixing time, which takes matrices of them by each other, would keep a job from starting. */
const MOST_PREDICTED = 100;

/** What a graph promises, in words: traffic if each node tells its neighbours so many bytes, and mixing time. */
export function predictionOf(topology: Topology, payloadBytes: number): string {
  const { name, nodeCount } = topology;
  const traffic = `${name} of ${nodeCount} nodes: ${bytesPerStep(topology, payloadBytes)} bytes per step`;
  if (nodeCount > MOST_PREDICTED) return traffic;
  return `${traffic}, distance from the mean shrinks to 1/e in ${mixingTime(topology).toFixed(1)} steps`;
}

/** The longest of the shortest ways between two nodes of a graph that stays the same. */
export function diameter(topology: Topology): number {
  let longest = 0;
  for (let node: NodeId = 0; node < topology.nodeCount; node++)
    longest = Math.max(longest, ...reachedFrom(topology, node).values());
  return longest;
}

function withoutMean(vector: readonly number[]): number[] {
  const mean = vector.reduce((sum, value) => sum + value, 0) / vector.length;
  return vector.map((value) => value - mean);
}

function times(matrix: MixingMatrix, vector: readonly number[]): number[] {
  return matrix.map((row) => row.reduce((sum, value, j) => sum + value * vector[j], 0));
}

function timesTransposed(matrix: MixingMatrix, vector: readonly number[]): number[] {
  return vector.map((_, j) => matrix.reduce((sum, row, i) => sum + row[j] * vector[i], 0));
}

function product(a: MixingMatrix, b: MixingMatrix): MixingMatrix {
  return a.map((row) => timesTransposed(b, row));
}

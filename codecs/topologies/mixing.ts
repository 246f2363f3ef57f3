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

/**
 * Steps in which the distance from the mean of all nodes shrinks to 1/e, in the worst case: from the largest singular
 * value of the matrices of a period without their common part.
 */
export function mixingTime(topology: Topology): number {
  const { nodeCount, period } = topology;
  let shrinkage = 0;
  let vector = Array.from({ length: nodeCount }, (_, i) => Math.sin(1 + i) + 0.1 * i);
  for (let round = 0; round < 1000; round++) {
    vector = withoutMean(vector);
    const length = Math.hypot(...vector);
    if (length === 0) break;
    vector = vector.map((value) => value / length);
    let mixed = vector;
    for (let step = 0; step < period; step++) mixed = times(mixingMatrix(topology, step), mixed);
    mixed = withoutMean(mixed);
    shrinkage = Math.hypot(...mixed);
    if (shrinkage < 1e-12) break;
    for (let step = period - 1; step >= 0; step--)
      mixed = timesTransposed(mixingMatrix(topology, step), mixed);
    vector = mixed;
  }
  return shrinkage < 1e-12 ? period : -period / Math.log(Math.min(shrinkage, 1 - 1e-12));
}

/** Bytes that all nodes send in a step, on average over a period, if each tells its neighbours so many. */
export function bytesPerStep(topology: Topology, payloadBytes: number): number {
  let count = 0;
  for (let step = 0; step < topology.period; step++)
    for (let node = 0; node < topology.nodeCount; node++)
      count += topology.neighbours(node, step).length;
  return (count / topology.period) * payloadBytes;
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

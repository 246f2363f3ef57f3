import { seededRandom } from "@psgd/core";
import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { PowerSgd } from "./powersgd.js";
import { Cluster, answerOf, shuffled } from "./testing/cluster.js";

const ROWS = 12;
const COLUMNS = 9;

function gaussian(label: string, size: number): number[] {
  const random = seededRandom(label);
  return Array.from({ length: size }, () => random.normal());
}

/** Of the rank given, by rows. */
function matrixOfRank(rank: number, label: string): number[] {
  const left = gaussian(`${label} left`, ROWS * rank);
  const right = gaussian(`${label} right`, COLUMNS * rank);
  return Array.from({ length: ROWS * COLUMNS }, (_, i) => {
    const row = Math.floor(i / COLUMNS);
    const column = i % COLUMNS;
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += left[row * rank + k] * right[column * rank + k];
    return sum;
  });
}

function cluster(
  nodeCount: number,
  parameters = {},
  shapes = [[ROWS, COLUMNS], [COLUMNS]],
): Cluster {
  return new Cluster({ codec: PowerSgd, nodeCount, shapes, parameters });
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.sqrt(Array.from(a).reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));

/** The length of what the best matrix of some rank leaves of another one: by deflation with the power method. */
function bestError(matrix: readonly number[], rank: number): number {
  const rest = [...matrix];
  for (let k = 0; k < rank; k++) {
    let right = gaussian(`start ${k}`, COLUMNS);
    let left: number[] = [];
    for (let round = 0; round < 500; round++) {
      left = Array.from({ length: ROWS }, (_, row) =>
        right.reduce((sum, value, column) => sum + rest[row * COLUMNS + column] * value, 0),
      );
      const length = Math.hypot(...left);
      left = left.map((value) => value / length);
      right = right.map((_, column) =>
        left.reduce((sum, value, row) => sum + rest[row * COLUMNS + column] * value, 0),
      );
    }
    for (let i = 0; i < rest.length; i++)
      rest[i] -= left[Math.floor(i / COLUMNS)] * right[i % COLUMNS];
  }
  return Math.hypot(...rest);
}

describe("PowerSGD", () => {
  it.each([1, 2, 3])(
    "gives a mean of rank %i exactly, in one step, and all nodes the same bits",
    (rank) => {
      const nodes = cluster(3, { rank });
      const input = ({ node }: { node: number }): number[] => [
        ...matrixOfRank(rank, "same").map((value) => value * (node + 1)),
        ...gaussian(`bias ${node}`, COLUMNS),
      ];
      const results = nodes.runStep(0, input, shuffled("order"));
      const mean = input({ node: 0 }).map(
        (_, i) => [0, 1, 2].reduce((sum, node) => sum + input({ node })[i], 0) / 3,
      );
      expect(distance(results[0]!, mean)).toBeLessThan(1e-4 * Math.hypot(...mean));
      for (const result of results) expect(result).toEqual(results[0]);
    },
  );

  it("comes to the best matrix of its rank where gradients stay the same and nothing is fed back", () => {
    const matrix = gaussian("full rank", ROWS * COLUMNS);
    const best = bestError(matrix, 2);
    // Error feedback would change what is compressed: a new cluster each time that knows only the last Q.
    let state: unknown;
    let error = Infinity;
    for (let step = 0; step < 60; step++) {
      const nodes = cluster(2);
      if (state !== undefined) for (const codec of nodes.nodes) codec.importState(state);
      const [result] = nodes.runStep(0, () => [...matrix, ...new Array<number>(COLUMNS).fill(0)]);
      error = distance(result!.subarray(0, matrix.length), matrix);
      const { q } = nodes.nodes[0].exportState() as { q: readonly Float32Array[] };
      state = { residual: undefined, momentum: new Float32Array(matrix.length + COLUMNS), q };
    }
    expect(error).toBeLessThan(1.001 * best);
    expect(error).toBeGreaterThan(0.999 * best);
  });

  it("leaves out nothing for good: what was applied and the mean residual are the sum of all gradients", () => {
    const nodes = cluster(3);
    const size = ROWS * COLUMNS + COLUMNS;
    const sum = new Float64Array(size);
    for (let step = 0; step < 20; step++) {
      const input = ({ node }: { node: number }): number[] => gaussian(`${node}/${step}`, size);
      const [result] = nodes.runStep(step, input, shuffled(`${step}`));
      for (let i = 0; i < size; i++)
        sum[i] += [0, 1, 2].reduce((all, node) => all + input({ node })[i] / 3, 0) - result![i];
    }
    const residuals = nodes.nodes.map(
      (codec) => (codec.exportState() as { residual: Float32Array }).residual,
    );
    for (let i = 0; i < size; i++)
      expect(residuals.reduce((all, residual) => all + residual[i] / 3, 0)).toBeCloseTo(sum[i], 3);
  });

  it.each([
    [2, 4],
    [3, 1],
  ])("sends the bytes that its header says: %i nodes, rank %i", (nodeCount, rank) => {
    const shapes = [[50, 40], [40], [3, 3, 8, 20], [2, 2]];
    const nodes = cluster(nodeCount, { rank }, shapes);
    nodes.runStep(0, () => gaussian("x", 50 * 40 + 40 + 3 * 3 * 8 * 20 + 4));
    const vectors = 4 * ((50 + 40) * rank + (72 + 20) * rank + 40 + 4);
    expect(nodes.sentVectorBytes).toBe(vectors * nodeCount * (nodeCount - 1));
  });

  it("does not stumble over gradients of 0", () => {
    const nodes = cluster(2);
    for (const step of [0, 1]) {
      const results = nodes.runStep(step, () => new Float32Array(ROWS * COLUMNS + COLUMNS));
      for (const value of results[0]!) expect(value).toBe(0);
    }
  });

  it.each([
    [0, 1],
    [0, 2],
    [1, 2],
    [1, 3],
    [2, 3],
  ])("finds rank %i, and then rank %i all the same", (before, after) => {
    const nodes = cluster(2, { rank: after });
    const rest = new Array<number>(COLUMNS).fill(0);
    nodes.runStep(0, () => [...matrixOfRank(before, "before"), ...rest]);
    const matrix = matrixOfRank(after, "after");
    // What rounding has left over of the first step comes now, too.
    const results = nodes.runStep(1, () => [...matrix, ...rest], shuffled("order"));
    expect(distance(results[0]!, [...matrix, ...rest])).toBeLessThan(1e-3 * Math.hypot(...matrix));
    expect(results[1]).toEqual(results[0]);
  });

  it.each([
    [undefined, "expected a list of 4"],
    [
      [1, 1e9, 0, new Float32Array(33)],
      "step: expected a whole number from 0 to 99, got 1000000000",
    ],
    [[1, 0, 2, new Float32Array(1)], "phase: expected one of 2 ids"],
    [[1, 0, 0, new Float32Array(1)], "part of node 1: expected 33 values, got 1"],
    [[1, 0, 1, new Float32Array(33)], "part of node 1: expected 18 values, got 33"],
  ])("refuses malformed content %#", (content, text) => {
    const generator = answerOf(cluster(3).nodes[0], content) as unknown as Generator;
    expect(() => generator.next()).toThrow(text);
  });
});

describeCodec("powersgd.PowerSgd", PowerSgd, { seedCount: 60 });

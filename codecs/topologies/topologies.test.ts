import { describe, expect, it } from "vitest";
import {
  bytesPerStep,
  diameter,
  equalShares,
  exponential,
  hierarchical,
  mesh,
  mixingMatrix,
  mixingTime,
  onePeer,
  predictionOf,
  ring,
  routesOver,
  star,
  topologyNamed,
  type Topology,
} from "./index.js";

const ALL = [1, 2, 3, 5, 8, 12, 16].flatMap((n) => [
  star(n),
  mesh(n),
  ring(n),
  exponential(n),
  onePeer(n),
  hierarchical(n, 3),
]);

describe.each(ALL)("$name of $nodeCount", (topology) => {
  const { nodeCount, period } = topology;

  it("has neighbours that are other nodes, ascending, each once, again after a period", () => {
    for (let node = 0; node < nodeCount; node++)
      for (let step = 0; step < 2 * period; step++) {
        const list = topology.neighbours(node, step);
        expect([...new Set(list)].sort((a, b) => a - b)).toEqual(list);
        expect(list.every((other) => other !== node && other >= 0 && other < nodeCount)).toBe(true);
        expect(list).toEqual(topology.neighbours(node, step + period));
      }
  });

  it("has a mixing matrix that keeps sums, with shares from 0", () => {
    for (let step = 0; step < period; step++) {
      const matrix = mixingMatrix(topology, step);
      for (let j = 0; j < nodeCount; j++)
        expect(matrix.reduce((sum, row) => sum + row[j], 0)).toBeCloseTo(1, 12);
      expect(matrix.flat().every((share) => share >= -1e-12)).toBe(true);
    }
  });

  it("mixes as fast as its mixing time says", () => {
    if (nodeCount === 1) return;
    const time = mixingTime(topology);
    let values = Array.from({ length: nodeCount }, (_, i) => ((i * 37) % 11) - 5);
    const mean = values.reduce((sum, value) => sum + value, 0) / nodeCount;
    const spread = (): number => Math.hypot(...values.map((value) => value - mean));
    const before = spread();
    const steps = period * Math.ceil((6 * time) / period);
    for (let step = 0; step < steps; step++) {
      const matrix = mixingMatrix(topology, step);
      values = matrix.map((row) => row.reduce((sum, share, j) => sum + share * values[j], 0));
    }
    expect(spread()).toBeLessThanOrEqual(before * Math.exp(-steps / time) * 1.01 + 1e-9);
  });

  if (period === 1)
    it("brings what any node sends to each other node exactly once", () => {
      const routes = routesOver(topology);
      for (let origin = 0; origin < nodeCount; origin++) {
        const got: number[] = [];
        const pass = (at: number): void => {
          for (const next of routes(origin, at)) {
            expect(topology.neighbours(at, 0)).toContain(next);
            got.push(next);
            pass(next);
          }
        };
        pass(origin);
        const others = Array.from({ length: nodeCount }, (_, i) => i).filter((i) => i !== origin);
        expect(got.sort((a, b) => a - b)).toEqual(others);
      }
    });
});

describe("mixing times", () => {
  it.each([4, 7, 16])("of a ring of %i are those of its eigenvalue 1/3 + 2/3 cos(2π/n)", (n) => {
    const eigenvalue = 1 / 3 + (2 / 3) * Math.cos((2 * Math.PI) / n);
    expect(mixingTime(ring(n))).toBeCloseTo(-1 / Math.log(eigenvalue), 4);
  });

  it("are one step in a mesh, and log₂ n in the one-peer graph of a power of two", () => {
    expect(mixingTime(mesh(9))).toBe(1);
    expect(mixingTime(onePeer(16))).toBe(4);
  });
});

/** What is left of a deviation after many steps, rescaled in each so that nothing vanishes: steps for 1/e in the long run. */
function longRunTime(topology: Topology): number {
  const { nodeCount } = topology;
  const matrix = mixingMatrix(topology, 0);
  let values = Array.from({ length: nodeCount }, (_, i) => Math.sin(i * i));
  let logarithm = 0;
  for (let step = 0; step < 600; step++) {
    values = matrix.map((row) => row.reduce((sum, share, j) => sum + share * values[j], 0));
    const mean = values.reduce((sum, value) => sum + value, 0) / nodeCount;
    values = values.map((value) => value - mean);
    const length = Math.hypot(...values);
    values = values.map((value) => value / length);
    if (step >= 300) logarithm += Math.log(length);
  }
  return -300 / logarithm;
}

it.each([3, 6, 12])(
  "a mixing time is that of many steps where one step may add to the distance (two hubs of %i)",
  (half) => {
    // Each hub hears one half of the others and tells the other half.
    const others = Array.from({ length: 2 * half }, (_, i) => 2 + i);
    const lists = [
      others.slice(half),
      others.slice(0, half),
      ...others.map((i) => [+(i >= 2 + half)]),
    ];
    const topology = topologyNamed(JSON.stringify(lists), lists.length);
    const time = mixingTime(topology);
    expect(time).toBeGreaterThan(longRunTime(topology));
    expect(time).toBeLessThan(5 * longRunTime(topology));
  },
);

describe("equal shares", () => {
  it.each([hierarchical(6, 3), star(5), exponential(6)])(
    "of $name: one for each and itself",
    (topology) => {
      const matrix = equalShares(topology, 0);
      for (let from = 0; from < topology.nodeCount; from++) {
        const list = topology.neighbours(from, 0);
        for (const [to, row] of matrix.entries()) {
          const takes = to === from || list.includes(to);
          expect(row[from]).toBeCloseTo(takes ? 1 / (1 + list.length) : 0, 12);
        }
      }
    },
  );
});

it("says how far apart nodes are, and what a step costs", () => {
  expect([star, mesh, ring, exponential].map((shape) => diameter(shape(9)))).toEqual([2, 1, 4, 2]);
  expect(diameter(hierarchical(12, 4))).toBe(3);
  expect([star, mesh, ring, onePeer].map((shape) => bytesPerStep(shape(8), 10))).toEqual([
    140, 560, 160, 80,
  ]);
});

it("says in words what to expect of a graph", () => {
  expect(predictionOf(onePeer(16), 10)).toBe(
    "one-peer of 16 nodes: 160 bytes per step, distance from the mean shrinks to 1/e in 4.0 steps",
  );
  // Reckoned in full this would take minutes, in the constructor of a codec.
  expect(predictionOf(ring(2000), 1)).toBe("ring of 2000 nodes: 4000 bytes per step");
});

describe("a topology by its name", () => {
  it.each(["mesh", "star", "ring", "exponential", "one-peer", "hierarchical:2"])("%s", (name) => {
    expect(topologyNamed(name, 6).name).toBe(name);
  });

  it("may be a graph as JSON", () => {
    const graph = topologyNamed("[[1],[2],[3],[0]]", 4);
    expect([0, 1, 2, 3].map((node) => graph.neighbours(node, 0))).toEqual([[1], [2], [3], [0]]);
  });

  it.each([
    [
      "torus",
      "expected one of mesh, star, ring, exponential, one-peer, hierarchical:N, or a graph as JSON, got torus",
    ],
    ["hierarchical:0", "expected one of"],
    ["[[1],[0]", "expected a graph as JSON, got"],
    ["[[1],[0]]", "expected a list of 3 lists, one for each node, got 2"],
    ["[[1],[1],[0]]", "expected ids of other nodes from 0 to 2 in list 1, got [1]"],
    ["[[1],[5],[0]]", "expected ids of other nodes from 0 to 2 in list 1, got [5]"],
    ['[[1],["0"],[0]]', 'in list 1, got ["0"]'],
    [
      "[[1],[0],[0]]",
      "expected a graph in which every node reaches all others, got no way from 0 to 2",
    ],
  ])("is refused: %s", (text, error) => {
    expect(() => topologyNamed(text, 3)).toThrow(error);
  });

  it("cannot change where things are passed on", () => {
    expect(() => routesOver(onePeer(4))).toThrow(
      "expected a graph that stays the same, got one-peer",
    );
  });
});

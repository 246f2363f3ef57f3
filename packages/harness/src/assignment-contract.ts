import { isPsgdError, type AssignmentRule } from "@psgd/core";
import { describe, expect, it } from "vitest";

/** What every block assignment does, as tests. */
export function describeAssignment(
  name: string,
  rule: AssignmentRule,
  /** The number of blocks by a closed form; `undefined` where there is no assignment. */
  blockCountOf: (nodeCount: number, redundancy: number) => number | undefined,
): void {
  describe(`block assignment ${name}`, () => {
    const sizes = Array.from({ length: 8 }, (_, n) =>
      Array.from({ length: n + 1 }, (_, r) => [n + 1, r + 1] as const),
    ).flat();
    const refusalOf = (nodeCount: number, redundancy: number): unknown => {
      try {
        return rule({ nodeCount, redundancy });
      } catch (error) {
        return error;
      }
    };

    it.each(sizes.filter(([n, r]) => blockCountOf(n, r) !== undefined))(
      "puts each block on exactly the redundancy's number of nodes: %i nodes, redundancy %i",
      (nodeCount, redundancy) => {
        const { blockCount, blockToNodes, nodeToBlocks, ...size } = rule({ nodeCount, redundancy });
        expect(size).toEqual({ nodeCount, redundancy });
        expect(blockCount).toBe(blockCountOf(nodeCount, redundancy));
        expect(blockToNodes.length).toBe(blockCount);
        expect(nodeToBlocks.length).toBe(nodeCount);
        for (const [block, nodes] of blockToNodes.entries()) {
          expect(nodes.length).toBe(redundancy);
          expect([...new Set(nodes)].sort((a, b) => a - b)).toEqual(nodes);
          for (let node = 0; node < nodeCount; node++) {
            expect(nodeToBlocks[node]!.includes(block)).toBe(nodes.includes(node));
          }
        }
        for (const blocks of nodeToBlocks) {
          expect(blocks.length).toBeGreaterThan(0);
          expect([...new Set(blocks)].sort((a, b) => a - b)).toEqual(blocks);
        }
      },
    );

    const impossible: (readonly [number, number])[] = [
      [0, 1],
      [-1, 1],
      [2.5, 1],
      [NaN, 1],
      [3, 0],
      [3, 4],
      [3, 1.5],
      [3, NaN],
      ...sizes.filter(([n, r]) => blockCountOf(n, r) === undefined),
    ];
    it.each(impossible)("refuses %d nodes with redundancy %d", (nodeCount, redundancy) => {
      expect(isPsgdError(refusalOf(nodeCount, redundancy), "ASSIGNMENT_INVALID")).toBe(true);
    });

    it("refuses to explode, whatever the numbers, and is the same at each call", () => {
      for (const [nodeCount, redundancy] of [
        [30, 15],
        [5000, 2500],
        [4096, 4096],
        [4095, 4094],
        [100_000, 1],
        [1e12, 1e12],
      ] as const) {
        const made = refusalOf(nodeCount, redundancy);
        const isRefused = isPsgdError(made, "ASSIGNMENT_INVALID");
        expect(isRefused || (made as { blockCount: number }).blockCount <= 4096).toBe(true);
      }
      expect(rule({ nodeCount: 4, redundancy: 2 })).toEqual(rule({ nodeCount: 4, redundancy: 2 }));
    });
  });
}

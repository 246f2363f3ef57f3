import { INVARIANTS, runSeeds, simulatedJob, type Outcome } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { expectGenerated } from "../support/markdown.js";
import { PLANTED, SOUND } from "./planted-bugs.fixture.js";

const MOST_SEEDS = 10_000;

async function firstCaught(
  { job, limits = {} }: Pick<(typeof PLANTED)[number], "job" | "limits">,
  count: number,
): Promise<(Outcome & { readonly seedCount: number }) | undefined> {
  let seedCount = 0;
  let caught: Outcome | undefined;
  await runSeeds(simulatedJob(job), { firstSeed: 1, count, limits }, (outcome) => {
    seedCount++;
    if (outcome.violation !== undefined) caught = outcome;
    return caught !== undefined;
  });
  return caught === undefined ? undefined : { ...caught, seedCount };
}

/** Columns, as wide as they must be. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
  return ["```text", ...lines, "```"].join("\n");
}

describe("the simulated cluster", () => {
  /** By bug: how many seeds it took, and what was broken. */
  const caughtBugs: string[][] = [];

  it.each(SOUND)("finds nothing wrong with $name, which is sound", async (sound) => {
    const caught = await firstCaught(sound, 500);
    expect(caught?.violation, JSON.stringify(caught?.scenario)).toBeUndefined();
  });

  it.each(PLANTED)("catches a planted bug: $name", async (bug) => {
    const restore = bug.plant?.();
    try {
      const caught = await firstCaught(bug, MOST_SEEDS);
      expect(bug.breaks, JSON.stringify(caught)).toContain(caught?.violation?.invariant);
      caughtBugs.push([String(caught!.seedCount), bug.name, caught!.violation!.invariant]);
    } finally {
      restore?.();
    }
  });

  it("has more than twenty bugs to catch", () => {
    expect(PLANTED.length).toBeGreaterThan(20);
  });

  it("has no promise that no bug breaks", ({ skip }) => {
    if (caughtBugs.length < PLANTED.length) return skip("not all bugs were planted in this run");
    const broken = new Set(caughtBugs.map(([, , invariant]) => invariant));
    expect(Object.keys(INVARIANTS).filter((name) => !broken.has(name))).toEqual([]);
  });

  it("is told of in SIMULATION.md", ({ skip }) => {
    expectGenerated(
      "packages/harness/SIMULATION.md",
      "invariants",
      columns(Object.entries(INVARIANTS)),
    );
    if (caughtBugs.length < PLANTED.length) return skip("not all bugs were planted in this run");
    const table = columns([["SEEDS", "BUG", "BROKEN PROMISE"], ...caughtBugs]);
    expectGenerated("packages/harness/SIMULATION.md", "planted-bugs", table);
  });
});

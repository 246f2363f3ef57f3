import { runSeeds, simulatedJob, type Outcome } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { PLANTED, SOUND } from "./planted-bugs.fixture.js";

const MOST_SEEDS = 10_000;

async function firstCaught(
  { job, limits = {} }: Pick<(typeof PLANTED)[number], "job" | "limits">,
  count: number,
): Promise<Outcome | undefined> {
  let caught: Outcome | undefined;
  await runSeeds(simulatedJob(job), { firstSeed: 1, count, limits }, (outcome) => {
    if (outcome.violation !== undefined) caught = outcome;
    return caught !== undefined;
  });
  return caught;
}

describe("the simulated cluster", () => {
  it.each(SOUND)("finds nothing wrong with $name, which is sound", async (sound) => {
    const caught = await firstCaught(sound, 500);
    expect(caught?.violation, JSON.stringify(caught?.scenario)).toBeUndefined();
  });

  it.each(PLANTED)("catches a planted bug: $name", async (bug) => {
    const restore = bug.plant?.();
    try {
      const caught = await firstCaught(bug, MOST_SEEDS);
      expect(bug.breaks, JSON.stringify(caught)).toContain(caught?.violation?.invariant);
    } finally {
      restore?.();
    }
  });

  it("has more than twenty bugs to catch", () => {
    expect(PLANTED.length).toBeGreaterThan(20);
  });
});

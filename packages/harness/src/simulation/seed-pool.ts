import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { PsgdError, isPsgdError, toErrorRecord } from "@psgd/core";
import { watchPulse } from "@psgd/runtime";
import { Piscina } from "piscina";
import type { InvariantName } from "./invariants.js";
import { hashOf, type PortableJob, type SeedReport, type SeedTask } from "./seed-task.js";
import type { ScenarioLimits } from "./scenario.js";

/** Enough for a thread to be worth asking, few enough to share out evenly. */
const SEEDS_PER_TASK = 250;

/** Longer than an event takes with any codec. */
const STUCK_AFTER_MS = 5000;

/**
 * Runs the scenarios of many seeds on all cores. What is found does not depend on how many there are.
 * @param onProgress - told the seeds that are done
 * @throws {PsgdError} CODEC_TIMEOUT if a call of the codec never gives its thread back, CODEC_THREW if one ends it
 */
export async function runSeedsOnPool(
  job: PortableJob,
  seeds: { readonly firstSeed: number; readonly count: number; readonly limits?: ScenarioLimits },
  onProgress: (doneCount: number) => void = () => {},
): Promise<SeedReport> {
  const { firstSeed, count, limits = {} } = seeds;
  const taskCount = Math.ceil(count / SEEDS_PER_TASK);
  const maxThreads = Math.min(taskCount, availableParallelism());
  const pool = new Piscina<SeedTask, SeedReport>({
    filename: fileURLToPath(new URL("./seed-task.js", import.meta.url)),
    minThreads: maxThreads,
    maxThreads,
    // Worlds live for milliseconds: with room for many of them, garbage is collected seldom and cheaply.
    resourceLimits: { maxYoungGenerationSizeMb: 64 },
  });
  const stopWatching: (() => void)[] = [];
  try {
    let doneCount = 0;
    const tasks = Array.from({ length: taskCount }, async (_, index) => {
      const skipped = index * SEEDS_PER_TASK;
      const task: SeedTask = {
        job,
        firstSeed: firstSeed + skipped,
        count: Math.min(SEEDS_PER_TASK, count - skipped),
        limits,
        pulse: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)),
      };
      const stuck = new Promise<never>((_, reject) =>
        stopWatching.push(
          watchPulse(task.pulse, STUCK_AFTER_MS, () => reject(stuckSeedsError(task))),
        ),
      );
      const run = pool.run(task).catch((error: unknown) => {
        throw isPsgdError(error) ? error : lostSeedsError(task, error);
      });
      const report = await Promise.race([run, stuck]);
      stopWatching[index]!();
      doneCount += report.seedCount;
      onProgress(doneCount);
      return report;
    });
    return (await Promise.all(tasks)).reduce(joined);
  } finally {
    for (const stop of stopWatching) stop();
    await pool.destroy();
  }
}

function lostSeedsError(task: SeedTask, cause: unknown): PsgdError {
  return new PsgdError(
    "CODEC_THREW",
    `${seedsOf(task)}: expected each call to return or throw, got ${toErrorRecord(cause).message}; ` +
      "look for `process.exit`, or for a promise that nobody awaits; `psgd codec test` says in which call",
    { cause },
  );
}

function seedsOf({ firstSeed, count }: SeedTask): string {
  return `one of the seeds ${firstSeed} to ${firstSeed + count - 1}`;
}

function stuckSeedsError(task: SeedTask): PsgdError {
  return new PsgdError(
    "CODEC_TIMEOUT",
    `${seedsOf(task)}: expected each event to end within ${STUCK_AFTER_MS / 1000} s, got no end; ` +
      "a call of the codec never returns; `psgd codec test` says which",
  );
}

function joined(a: SeedReport, b: SeedReport): SeedReport {
  const broken = { ...a.broken };
  for (const [name, count] of Object.entries(b.broken) as [InvariantName, number][])
    broken[name] = (broken[name] ?? 0) + count;
  return {
    seedCount: a.seedCount + b.seedCount,
    eventCount: a.eventCount + b.eventCount,
    virtualMs: a.virtualMs + b.virtualMs,
    traceHash: hashOf([a.traceHash, b.traceHash]),
    broken,
    // Reports are joined in the order of seeds.
    firstFailure: a.firstFailure ?? b.firstFailure,
  };
}

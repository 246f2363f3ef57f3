import { createHash } from "node:crypto";
import type { CodecParameters } from "@psgd/core";
import { loadCodecClass, moduleLoader, type CodecSource } from "@psgd/runtime";
import type { SyncPolicyName } from "@psgd/sgd";
import type { InvariantName } from "./invariants.js";
import { runSeeds } from "./run-seeds.js";
import type { ScenarioLimits } from "./scenario.js";
import { simulatedJob, type ModelPromise, type SimulatedJob } from "./simulated-job.js";
import type { Outcome } from "./world.js";

/** A job as it can be sent to a thread. */
export interface PortableJob {
  readonly codec: CodecSource;
  readonly serverCodec: CodecSource | undefined;
  readonly sync: SyncPolicyName;
  readonly parameters: CodecParameters;
  readonly promise: ModelPromise;
  /** Where the codecs' modules are written to, to be loaded. */
  readonly moduleDirectory: string;
}

/** Some seeds of a job. */
export interface SeedTask {
  readonly job: PortableJob;
  readonly firstSeed: number;
  readonly count: number;
  readonly limits: ScenarioLimits;
  /** Moved on while the task gets anywhere. */
  readonly pulse: Int32Array<SharedArrayBuffer>;
}

/** What came of them. */
export interface SeedReport {
  readonly seedCount: number;
  readonly eventCount: number;
  readonly virtualMs: number;
  /** Of all events of all seeds: the same on every machine. */
  readonly traceHash: string;
  /** By promise: seeds that broke it. */
  readonly broken: Readonly<Partial<Record<InvariantName, number>>>;
  /** Of the lowest seed that broke any. */
  readonly firstFailure: Outcome | undefined;
}

/**
 * Loads the codecs of a job.
 * @throws {PsgdError} CODEC_LOAD_FAILED, PAIRING_INVALID
 */
export async function unpackJob(job: PortableJob): Promise<SimulatedJob> {
  const load = moduleLoader(job.moduleDirectory);
  const codec = await loadCodecClass(job.codec, load);
  const serverCodec =
    job.serverCodec === undefined ? undefined : await loadCodecClass(job.serverCodec, load);
  const { sync, parameters, promise } = job;
  return simulatedJob({
    ...{ codec, sync, parameters, promise },
    ...(serverCodec === undefined ? {} : { serverCodec }),
  });
}

/** Runs a task; what a thread of the pool does. */
export default async function runTask({
  job,
  firstSeed,
  count,
  limits,
  pulse,
}: SeedTask): Promise<SeedReport> {
  let eventCount = 0;
  let virtualMs = 0;
  const hashes: string[] = [];
  const broken: Partial<Record<InvariantName, number>> = {};
  let firstFailure: Outcome | undefined;
  const onOutcome = (outcome: Outcome): boolean => {
    eventCount += outcome.eventCount;
    virtualMs += outcome.virtualMs;
    hashes[outcome.scenario.seed - firstSeed] = outcome.traceHash;
    if (outcome.violation !== undefined) {
      const { invariant } = outcome.violation;
      broken[invariant] = (broken[invariant] ?? 0) + 1;
      const isFirst = outcome.scenario.seed < (firstFailure?.scenario.seed ?? Infinity);
      if (isFirst) firstFailure = outcome;
    }
    return false;
  };
  const onTurn = (): void => void Atomics.add(pulse, 0, 1);
  await runSeeds(await unpackJob(job), { firstSeed, count, limits }, onOutcome, onTurn);
  const traceHash = hashOf(hashes);
  return { seedCount: count, eventCount, virtualMs, traceHash, broken, firstFailure };
}

/** Of several hashes, in their order. */
export function hashOf(hashes: readonly string[]): string {
  return createHash("sha256").update(hashes.join()).digest("hex").slice(0, 16);
}

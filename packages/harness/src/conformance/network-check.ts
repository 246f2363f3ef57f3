import { failureInWords } from "../simulation/failure-in-words.js";
import { runSeeds } from "../simulation/run-seeds.js";
import { shrink } from "../simulation/shrink.js";
import { simulatedJob, type ModelPromise } from "../simulation/simulated-job.js";
import type { Outcome } from "../simulation/world.js";
import type { LabSubject } from "./codec-lab.js";
import type { Finding } from "./finding.js";

/** Runs the codec in the simulated cluster, and shrinks the first seed that breaks a promise. */
export async function examineNetwork(
  { codec, serverCodec, sync, parameters, nodeCount, redundancy }: LabSubject,
  { seedCount, promise }: { seedCount: number; promise: ModelPromise },
): Promise<Finding> {
  const job = simulatedJob({
    ...{ codec, sync, parameters, promise },
    ...(serverCodec === undefined ? {} : { serverCodec }),
  });
  const limits = { maxNodeCount: Math.min(3, nodeCount), withRedundancy: redundancy > 1 };
  let failed: Outcome | undefined;
  await runSeeds(job, { firstSeed: 1, count: seedCount, limits }, (outcome) => {
    if (outcome.violation !== undefined) failed = outcome;
    return failed !== undefined;
  });
  const check = "network";
  if (failed === undefined)
    return {
      ...{ check, verdict: "ok", seed: 1, story: undefined },
      number: `${seedCount} of ${seedCount} seeds`,
      text: "each with other faults, every promise kept",
    };
  const smallest = await shrink(job, failed);
  return {
    ...{ check, verdict: "wrong", seed: failed.scenario.seed, story: failureInWords(smallest) },
    number: `seed ${failed.scenario.seed} of ${seedCount}`,
    text: `${failed.violation!.invariant}: ${failed.violation!.text}`,
    replay:
      `--seed ${failed.scenario.seed} --sync ${sync} --promise ${promise}` +
      (redundancy > 1 ? ` --redundancy ${redundancy}` : ""),
  };
}

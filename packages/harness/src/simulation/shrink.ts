import { PARAMETER_SERVER } from "@psgd/core";
import { runScenario } from "./run-seeds.js";
import type { Scenario } from "./scenario.js";
import type { SimulatedJob } from "./simulated-job.js";
import type { Outcome } from "./world.js";

/** A smaller scenario may need other luck: so many seeds are tried for each. */
const SEEDS_PER_TRIAL = 8;

/** More events than this, over all runs, are not worth a shorter story. */
const MAX_EVENTS = 1_000_000;

/**
 * Takes away faults, nodes, redundancy and steps that a failure does not need, until every further one would make it
 * go away. What stays is broken in the same way: the same promise.
 *
 * @returns the smallest failing run found, with all its events
 */
export async function shrink(job: SimulatedJob, failed: Outcome): Promise<Outcome> {
  let eventCount = 0;
  const stillFails = async (candidate: Scenario): Promise<Scenario | undefined> => {
    for (let luck = 0; luck < SEEDS_PER_TRIAL && eventCount < MAX_EVENTS; luck++) {
      const scenario = { ...candidate, seed: luck === 0 ? candidate.seed : luck };
      const { violation, eventCount: more } = await runScenario(job, scenario);
      eventCount += more;
      if (violation?.invariant === failed.violation?.invariant) return scenario;
    }
    return undefined;
  };

  let smallest = failed.scenario;
  for (let isSmaller = true; isSmaller;) {
    isSmaller = false;
    for (const candidate of smallerThan(smallest, job.fewestNodes)) {
      const found = await stillFails(candidate);
      if (found === undefined) continue;
      smallest = found;
      isSmaller = true;
      break;
    }
  }
  return runScenario(job, smallest, { isWholeTrace: true });
}

/** What is a step smaller, what saves most first. */
function* smallerThan(scenario: Scenario, fewestNodes: number): Generator<Scenario> {
  const { faults, nodeCount, stepCount, redundancy } = scenario;
  if (faults.length > 1) yield { ...scenario, faults: [] };
  for (const fault of faults)
    yield { ...scenario, faults: faults.filter((other) => other !== fault) };
  if (nodeCount > fewestNodes) {
    const isThere = (node: number): boolean => node === PARAMETER_SERVER || node < nodeCount - 1;
    yield {
      ...scenario,
      nodeCount: nodeCount - 1,
      redundancy: Math.min(redundancy, nodeCount - 1),
      faults: faults.filter((fault) => !("node" in fault) || isThere(fault.node)),
    };
  }
  if (redundancy > 1) yield { ...scenario, redundancy: redundancy - 1 };
  if (stepCount > 1) {
    yield { ...scenario, stepCount: Math.ceil(stepCount / 2) };
    yield { ...scenario, stepCount: stepCount - 1 };
  }
}

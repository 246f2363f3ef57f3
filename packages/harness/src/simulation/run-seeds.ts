import { systemClock } from "@psgd/runtime";
import { drawScenario, type Scenario, type ScenarioLimits } from "./scenario.js";
import type { SimulatedJob } from "./simulated-job.js";
import { World, type Outcome } from "./world.js";

/** So many worlds share a turn of the event loop, which costs more than an event. */
const WORLDS_AT_ONCE = 16;

/** What scenarios of a job are drawn from. */
export function limitsOf(job: SimulatedJob, limits: ScenarioLimits = {}): ScenarioLimits {
  return { hasServer: job.server !== undefined, minNodeCount: job.fewestNodes, ...limits };
}

/** Runs one scenario. */
export async function runScenario(
  job: SimulatedJob,
  scenario: Scenario,
  options: { isWholeTrace?: boolean } = {},
): Promise<Outcome> {
  const world = new World(job, scenario, options.isWholeTrace);
  do await systemClock.nextTurn();
  while (world.advance());
  return world.outcome!;
}

/**
 * Runs the scenarios of `count` seeds from `firstSeed` on, many at a time; each is what it would be alone.
 * @param onOutcome - told of each as it ends; returns true to stop early
 * @param onTurn - called whenever all that run have got somewhere
 */
export async function runSeeds(
  job: SimulatedJob,
  seeds: { readonly firstSeed: number; readonly count: number; readonly limits?: ScenarioLimits },
  onOutcome: (outcome: Outcome) => boolean,
  onTurn: () => void = () => {},
): Promise<void> {
  const limits = limitsOf(job, seeds.limits);
  const end = seeds.firstSeed + seeds.count;
  let nextSeed = seeds.firstSeed;
  let worlds: World[] = [];
  for (;;) {
    while (worlds.length < WORLDS_AT_ONCE && nextSeed < end)
      worlds.push(new World(job, drawScenario(nextSeed++, limits)));
    if (worlds.length === 0) return;
    await systemClock.nextTurn();
    onTurn();
    const running: World[] = [];
    for (const world of worlds) {
      if (world.advance()) running.push(world);
      else if (onOutcome(world.outcome!)) return;
    }
    worlds = running;
  }
}

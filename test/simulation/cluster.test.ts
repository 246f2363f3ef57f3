import { PARAMETER_SERVER, seededRandom } from "@psgd/core";
import { drawScenario, type Scenario } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { simulateCluster, type ClusterOutcome } from "./simulated-cluster.js";

/** The scenario's "server" is the submitter here. Who dies does so in the few milliseconds that a job lasts. */
function scenarioOf(seed: number, withDeaths: boolean): Scenario {
  const limits = { withRedundancy: false, hasServer: true, withDeaths: false };
  const scenario = drawScenario(seed, limits);
  if (!withDeaths) return scenario;
  const random = seededRandom(`${seed}/death`);
  const node = random.uint32() % (scenario.nodeCount + 1);
  const crash = {
    kind: "crash",
    node: node === scenario.nodeCount ? PARAMETER_SERVER : node,
    atMs: 1 + (random.uint32() % 40),
    restartAfterMs: random.uint32() % 2 === 0 ? undefined : 1 + (random.uint32() % 8000),
  } as const;
  return { ...scenario, faults: [...scenario.faults, crash] };
}

const told = ({ scenario, violation, lines }: ClusterOutcome): string =>
  `${JSON.stringify(scenario)}: ${violation}\n${lines.slice(-20).join("\n")}`;

const models = new Map<string, string>();

/** What a job of this size trains when nothing goes wrong. */
async function soundModel({ nodeCount, stepCount }: Scenario): Promise<string> {
  const size = `${nodeCount} nodes, ${stepCount} steps`;
  const known = models.get(size);
  if (known !== undefined) return known;
  const sound = { seed: 1, nodeCount, stepCount, redundancy: 1, faults: [] };
  const { modelSha256, submission } = await simulateCluster(sound);
  expect(submission).toBe("started");
  models.set(size, modelSha256!);
  return modelSha256!;
}

async function check(seed: number, withDeaths: boolean): Promise<ClusterOutcome> {
  const outcome = await simulateCluster(scenarioOf(seed, withDeaths));
  expect(outcome.violation, told(outcome)).toBeUndefined();
  if (outcome.modelSha256 !== undefined)
    expect(outcome.modelSha256, told(outcome)).toBe(await soundModel(outcome.scenario));
  return outcome;
}

describe("the simulated cluster, with submitter, daemons and stores", () => {
  it("starts a job everywhere or nowhere and trains the same model, whatever the network does", async () => {
    let finishedCount = 0;
    for (let seed = 1; seed <= 60; seed++)
      if ((await check(seed, false)).modelSha256 !== undefined) finishedCount++;
    // Cut off for more than four seconds while it submits, a submitter gives up; that is rare.
    expect(finishedCount).toBeGreaterThan(50);
  });

  it("leaks no slot and leaves nothing running when submitters and workers die and come back", async () => {
    const ends = new Set<string>();
    for (let seed = 1; seed <= 100; seed++) {
      const { submission, states } = await check(seed, true);
      ends.add(`${submission} ${states.join()}`);
    }
    // Before, during and after the submission: everything that can come of it has come up.
    expect(ends.size).toBeGreaterThan(8);
  });

  it("tells how each job ended, and keeps what was trained, when a worker's disk is full for a while", async () => {
    const ends = new Set<string>();
    for (let seed = 1; seed <= 100; seed++) {
      const scenario = scenarioOf(seed, false);
      const random = seededRandom(`${seed}/disk`);
      const disk = {
        node: random.uint32() % scenario.nodeCount,
        atMs: random.uint32() % 120,
        ms: random.uint32() % 2 === 0 ? undefined : 1 + (random.uint32() % 8000),
      };
      const outcome = await simulateCluster(scenario, disk);
      expect(outcome.violation, `${JSON.stringify(disk)} ${told(outcome)}`).toBeUndefined();
      if (outcome.modelSha256 !== undefined)
        expect(outcome.modelSha256, told(outcome)).toBe(await soundModel(outcome.scenario));
      ends.add(`${outcome.submission} ${outcome.states.join()}`);
    }
    // While packages come, while nodes run, at the very end, and not at all.
    expect(ends.size).toBeGreaterThan(5);
  });

  it("does the same again from the same seed", async () => {
    for (const seed of [1, 2, 116]) {
      const [a, b] = [await check(seed, true), await check(seed, true)];
      expect(b.traceHash, `seed ${seed}`).toBe(a.traceHash);
    }
  });
});

import { createHash } from "node:crypto";
import { drawScenario, runScenario, runSeeds, simulatedJob, type Outcome } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { FedAvgClient } from "../../codecs/fedavg.js";
import { GradDiffPS, ParaAveragingServer, PSClient } from "../../codecs/naive_ps.js";
import { Plain } from "../../codecs/plain.js";
import { MyComCtrl } from "../../codecs/tutorial_codec.js";

const plain = simulatedJob({ codec: Plain, promise: "mean" });

/** The first seed that breaks a promise, in words. */
async function firstViolation(
  job: typeof plain,
  count: number,
  limits = {},
): Promise<string | undefined> {
  let found: Outcome | undefined;
  await runSeeds(job, { firstSeed: 1, count, limits }, (outcome) => {
    if (outcome.violation !== undefined) found = outcome;
    return found !== undefined;
  });
  if (found === undefined) return undefined;
  return `${JSON.stringify(found.scenario)}: ${JSON.stringify(found.violation)}\n${found.lines.slice(-20).join("\n")}`;
}

describe("the simulated cluster", () => {
  it("keeps every promise in 2,000 seeds of the plain codec", async () => {
    expect(await firstViolation(plain, 2000)).toBeUndefined();
  });

  it.each([
    [
      "a server that averages",
      { codec: FedAvgClient, promise: "mean", parameters: { local_steps: 1 } },
      { withRedundancy: false },
    ],
    [
      "a server, local steps, asgd",
      { codec: FedAvgClient, sync: "asgd", parameters: { local_steps: 2 } },
      {},
    ],
    ["a server that adds up", { codec: PSClient, serverCodec: GradDiffPS, sync: "asgd" }, {}],
    [
      "a server that remembers",
      { codec: PSClient, serverCodec: ParaAveragingServer, sync: "asgd" },
      {},
    ],
    ["plain in asgd", { codec: Plain, sync: "asgd", promise: "mean" }, {}],
    ["plain in ssp", { codec: Plain, sync: "ssp", promise: "mean" }, {}],
    [
      "a server that remembers, in ssp",
      { codec: PSClient, serverCodec: ParaAveragingServer, sync: "ssp" },
      {},
    ],
    ["the tutorial's codec", { codec: MyComCtrl, promise: "mean" }, {}],
  ] as const)("keeps every promise in 300 seeds of %s", async (_, options, limits) => {
    expect(await firstViolation(simulatedJob(options), 300, limits)).toBeUndefined();
  });

  it("does the same again from the same seed, alone or among others", async () => {
    const among = new Map<number, string>();
    await runSeeds(plain, { firstSeed: 1, count: 100 }, ({ scenario, traceHash }) => {
      among.set(scenario.seed, traceHash);
      return false;
    });
    const traces = await Promise.all(
      [1, 2, 50, 100].map(async (seed) => {
        const [a, b] = [
          await runScenario(plain, drawScenario(seed), { isWholeTrace: true }),
          await runScenario(plain, drawScenario(seed), { isWholeTrace: true }),
        ];
        expect(a.traceHash, `seed ${seed}`).toBe(among.get(seed));
        expect(b.traceHash, `seed ${seed}`).toBe(a.traceHash);
        return createHash("sha256").update(a.traceHash).digest("hex");
      }),
    );
    expect(new Set(traces).size).toBe(traces.length);
  });

  it("does the same in another checkout, where stacks are others", async () => {
    const { stackTraceLimit } = Error;
    const tracesWith = async (limit: number): Promise<string[]> => {
      Error.stackTraceLimit = limit;
      const traces: string[] = [];
      await runSeeds(plain, { firstSeed: 1, count: 200 }, ({ scenario, traceHash }) => {
        traces[scenario.seed] = traceHash;
        return false;
      });
      return traces;
    };
    try {
      expect(await tracesWith(0)).toEqual(await tracesWith(10));
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  });

  // Each of these broke a promise once.
  it.each([
    [806, "a node that slept through its peers' last words lost a finished job"],
    [1430, "as did one that was cut off for five seconds at the end"],
    [26920, "a node that starts again before anybody has heard it"],
    [37539, "and one that starts again after it was done"],
  ])("survives seed %i: %s", async (seed) => {
    const { violation } = await runScenario(plain, drawScenario(seed));
    expect(violation).toBeUndefined();
  });
});

import type { Argv } from "yargs";
import { SYNC_POLICIES } from "@psgd/sgd";
import type { PortableJob, ScenarioLimits } from "@psgd/harness";
import { systemClock } from "@psgd/runtime";
import { watched } from "../call-watch.js";
import { pairCodecs } from "../choose-codecs.js";
import { bundleDirectory } from "../compose.js";
import { EXIT_CODES, exitCodeOf } from "../exit-codes.js";
import { parametersOf } from "../job-options.js";
import { throwFaults, withCodecOptions } from "./codec-test.js";

export function withSimulateArguments(parser: Argv): Argv {
  return withCodecOptions(parser)
    .option("sync", {
      type: "string",
      choices: Object.keys(SYNC_POLICIES),
      default: "ssgd",
      describe: "when messages are handed over: in their step, on arrival, or within bounds (ssp)",
    })
    .option("promise", {
      type: "string",
      choices: ["none", "agreement", "mean"],
      default: "none",
      describe:
        "what the codec promises of models: nothing, the same on all nodes after each step, or to have moved by the plain mean, bit for bit",
    })
    .option("seeds", { type: "number", default: 10_000, describe: "seeds to run, on all cores" })
    .option("seed", { type: "number", describe: "run this one only, and tell everything" })
    .example("psgd codec simulate plain --promise mean", "10,000 seeds, each with other faults")
    .example("psgd codec simulate plain --seed 806", "all that happens in one of them");
}

/** Runs a codec in the simulated cluster. @returns the exit code: 13 if a promise was broken */
export async function runCodecSimulation(args: Readonly<Record<string, unknown>>): Promise<number> {
  process.setSourceMapsEnabled(true);
  const faults: string[] = [];
  for (const name of ["seeds", "seed", "redundancy"]) {
    const value = args[name] as number | undefined;
    if (value !== undefined && (!Number.isSafeInteger(value) || value < 1))
      faults.push(`\`--${name}\`: expected a whole number from 1, got ${value}`);
  }
  const parameters = parametersOf(args["param"] as readonly string[], faults);
  throwFaults(faults);
  const { codec, server } = await pairCodecs(args["codec"] as string, {
    serverCodec: args["server-codec"] as string | undefined,
    optimizer: undefined,
  });
  const job: PortableJob = {
    codec: codec.source,
    serverCodec: server?.source,
    sync: args["sync"] as PortableJob["sync"],
    parameters,
    promise: args["promise"] as PortableJob["promise"],
    moduleDirectory: bundleDirectory(),
  };
  const limits = {
    hasServer: server !== undefined,
    withRedundancy: (args["redundancy"] as number) > 1,
  };
  const seed = args["seed"] as number | undefined;
  const isJson = args["json"] === true;
  return seed === undefined
    ? simulateMany(job, limits, args["seeds"] as number, isJson)
    : replay(job, limits, seed, isJson);
}

async function simulateMany(
  job: PortableJob,
  limits: ScenarioLimits,
  count: number,
  isJson: boolean,
): Promise<number> {
  const { failureInWords, runSeedsOnPool, shrink, unpackJob } = await import("@psgd/harness");
  const startedAt = systemClock.now();
  const report = await runSeedsOnPool(job, { firstSeed: 1, count, limits });
  const seconds = (systemClock.now() - startedAt) / 1000;
  const failed = report.firstFailure;
  const exitCode = failed === undefined ? EXIT_CODES.done : exitCodeOf("CODEC_WRONG_RESULT");
  if (isJson) {
    process.stdout.write(`${JSON.stringify({ ...report, seconds })}\n`);
    return exitCode;
  }
  process.stdout.write(
    `${report.seedCount} seeds in ${seconds.toFixed(1)} s, ${Math.round(report.seedCount / seconds)} a second; ` +
      `${report.eventCount} events in ${(report.virtualMs / 3_600_000).toFixed(1)} hours of virtual time; trace ${report.traceHash}\n`,
  );
  if (failed === undefined) {
    process.stdout.write("Every promise was kept.\n");
    return exitCode;
  }
  for (const [promise, broken] of Object.entries(report.broken))
    process.stdout.write(`${promise}: broken in ${broken} seeds\n`);
  process.stdout.write(
    `\nThe first is --seed ${failed.scenario.seed}. The shortest way to the same:\n` +
      `${failureInWords(await shrink(await unpackJob(job), failed))}\n`,
  );
  return exitCode;
}

async function replay(
  job: PortableJob,
  limits: ScenarioLimits,
  seed: number,
  isJson: boolean,
): Promise<number> {
  const { drawScenario, failureInWords, limitsOf, runScenario, shrink, unpackJob } =
    await import("@psgd/harness");
  const loaded = await unpackJob(job);
  const unpacked = {
    ...loaded,
    codec: watched(loaded.codec),
    server: loaded.server && watched(loaded.server),
  };
  const scenario = drawScenario(seed, limitsOf(unpacked, limits));
  const outcome = await runScenario(unpacked, scenario, { isWholeTrace: true });
  const exitCode =
    outcome.violation === undefined ? EXIT_CODES.done : exitCodeOf("CODEC_WRONG_RESULT");
  if (isJson) {
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
    return exitCode;
  }
  process.stdout.write(`${JSON.stringify(outcome.scenario)}\n${outcome.lines.join("\n")}\n`);
  process.stdout.write(`${outcome.eventCount} events, trace ${outcome.traceHash}\n`);
  if (outcome.violation === undefined) process.stdout.write("Every promise was kept.\n");
  else
    process.stdout.write(
      `\n${failureInWords({ ...outcome, story: [] })}\n\nThe shortest way to the same:\n${failureInWords(await shrink(unpacked, outcome))}\n`,
    );
  return exitCode;
}

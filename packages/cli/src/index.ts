import yargs from "yargs";
import { hideBin } from "yargs/helpers";
import { DEFAULT_NATS_URL, VERSION } from "./compose.js";
import { runInCodecThread } from "./codec-thread.js";
import { runJobSubmit, withSubmitOptions } from "./commands/job-submit.js";
import { withCodecTestArguments } from "./commands/codec-test.js";
import { withSimulateArguments } from "./commands/codec-simulate.js";
import { runDoctor } from "./commands/doctor.js";
import { runJobs } from "./commands/jobs.js";
import { runNodes } from "./commands/nodes.js";
import {
  codecTestDescription,
  withCodecTestOptions,
  type CodecTestDefinition,
} from "./commands/test-codec.js";
import { runWorker, withWorkerOptions } from "./commands/worker.js";
import { EXIT_CODES } from "./exit-codes.js";
import { runCommand } from "./run-command.js";
import { requireOnce, usageFault } from "./usage-fault.js";
import type { Argv } from "yargs";

export type { CodecTestDefinition } from "./commands/test-codec.js";
export { RemoteCluster } from "./remote-cluster.js";
export { EXIT_CODES, exitCodeOf } from "./exit-codes.js";

type Arguments = Readonly<Record<string, unknown>>;
type Command = (args: Arguments) => Promise<number>;

/** The `worker` program. */
export async function workerMain(): Promise<void> {
  await single(
    "worker",
    "Waits for training jobs and runs their nodes. Needs no arguments.",
    withWorkerOptions,
    runWorker,
  );
}

/** The `job-submit` program. */
export async function jobSubmitMain(): Promise<void> {
  await single(
    "job-submit",
    "Submits a training job to the workers, shows it live, and brings its results home.",
    withSubmitOptions,
    submit,
  );
}

/** A test script for codecs, as its definition says. */
export async function testCodecMain(definition: CodecTestDefinition): Promise<void> {
  await single(
    definition.command,
    codecTestDescription(definition),
    (parser) => withCodecTestOptions(parser, definition),
    (args) => runInCodecThread("test script", args, definition),
  );
}

/** The `psgd` program: every command. */
export async function psgdMain(): Promise<void> {
  const parser = common(yargs(hideBin(process.argv)), "psgd")
    .usage(
      "$0 <command> [options]\n\nTrains models on several machines; a codec decides what they send each other.",
    )
    .command("worker", "wait for training jobs and run their nodes", withWorkerOptions, (args) =>
      run(runWorker, args),
    )
    .command(
      ["job-submit", "submit"],
      "submit, retrieve or cancel a training job",
      withSubmitOptions,
      (args) => run(submit, args),
    )
    .command(
      "nodes",
      "list the workers that answer, with their free slots and jobs",
      withClusterOptions,
      (args) => run(runNodes, args),
    )
    .command(
      "jobs",
      "list the jobs that run, and those whose results are kept",
      withClusterOptions,
      (args) => run(runJobs, args),
    )
    .command("codec", "test a codec without a cluster, or simulate a bad one", withCodecCommands)
    .command(
      "doctor",
      "say what is available on this machine, and why the rest is not",
      withClusterOptions,
      (args) => run(runDoctor, args),
    )
    .example([
      ["psgd doctor", "is this machine ready"],
      ["psgd nodes", "who is there"],
      ["psgd codec test codecs/mine.ts", "what a codec does right and wrong, with numbers"],
      ["psgd jobs --json", "all jobs, for a program"],
      ["psgd submit --retrieve JOB", "the results of one of them"],
    ])
    .demandCommand(1, "expected a command: worker, job-submit, nodes, jobs, codec or doctor")
    .epilogue(
      "`psgd <command> --help` says more. `worker` and `job-submit` are programs of their own, too.",
    );
  if (process.argv.length === 2) parser.showHelp("log");
  else await parser.parseAsync();
}

function withCodecCommands(parser: Argv): Argv {
  return parser
    .command(
      "test <codec>",
      "run a codec as it is, and report what it does with a number and a verdict for each check",
      withCodecTestArguments,
      (args) => run((given) => runInCodecThread("codec test", given), args),
    )
    .command(
      "simulate <codec>",
      "run many seeds in the simulated cluster, each with other faults, or one of them again",
      withSimulateArguments,
      (args) => run((given) => runInCodecThread("codec simulate", given), args),
    )
    .demandCommand(1, "expected a command: test or simulate");
}

function withClusterOptions(parser: Argv): Argv {
  return parser
    .option("nats", {
      type: "string",
      requiresArg: true,
      default: process.env["NATS_URL"] ?? DEFAULT_NATS_URL,
      describe: "URL of the nats-server, several with commas (also NATS_URL)",
    })
    .option("json", {
      type: "boolean",
      default: false,
      describe: "print one JSON value, for programs",
    });
}

/** A dry run calls codecs in this process; a job does so in others, which are watched. */
async function submit(args: Arguments): Promise<number> {
  return args["dry-run"] === true ? runInCodecThread("dry run", args) : runJobSubmit(args);
}

async function single(
  name: string,
  description: string,
  options: (parser: Argv) => Argv,
  command: Command,
): Promise<void> {
  const parser = common(options(yargs(hideBin(process.argv))), name).usage(
    `$0 [options]\n\n${description}`,
  );
  const args = await parser
    .demandCommand(0, 0, undefined, "expected only options, got a word besides them")
    .parseAsync();
  await run(command, args);
}

function common(parser: Argv, name: string): Argv {
  return parser
    .scriptName(name)
    .version(VERSION)
    .strict()
    .wrap(100)
    .check(requireOnce)
    .fail((message, error, self) => {
      // Errors of commands never come here: they run after parsing.
      let help = "";
      self.showHelp((text: string) => {
        help = text;
      });
      const fault = usageFault(message || error.message, help);
      // The whole help would push the one line that matters out of sight.
      process.stderr.write(`SETTINGS_INVALID: ${fault}; see \`${name} --help\`\n`);
      process.exit(EXIT_CODES.usage);
    });
}

async function run(command: Command, args: Arguments): Promise<void> {
  await runCommand(() => command(args), args["json"] === true);
}

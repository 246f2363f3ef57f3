import type { Argv, Options } from "yargs";
import {
  ASSIGNMENTS,
  PsgdError,
  isPsgdError,
  layoutOf,
  type AssignmentName,
  type CodecParameters,
  type Logger,
} from "@psgd/core";
import type { Agreement, CodecHarnessOptions, HarnessReport } from "@psgd/harness";
import { SYNC_POLICIES, type SyncPolicyName } from "@psgd/sgd";
import { pairCodecs } from "../choose-codecs.js";
import { EXIT_CODES } from "../exit-codes.js";
import { parametersOf, withUnderscores } from "../job-options.js";
import { callTimeoutMsOf } from "./codec-test.js";

/** What a test script defines at its top; arguments override it. */
export interface CodecTestDefinition {
  /** What people type to run the script. */
  readonly command: string;
  /** `FILE.CLASS`, as with `--codec`. */
  readonly slaveCodec: string;
  /** `FILE.CLASS` for the parameter server; `undefined`: peer to peer. */
  readonly masterCodec: string | undefined;
  readonly assignment: AssignmentName;
  readonly nodeCount: number;
  readonly redundancy: number;
  readonly rounds: number;
  readonly sync: SyncPolicyName;
  readonly schedules: number;
  readonly seed: number;
  /** Shapes of the model's tensors. */
  readonly weightsShapes: readonly (readonly number[])[];
  readonly codecTimeoutMs: number;
  readonly parameters: CodecParameters;
}

const AGREEMENTS = ["every-round", "last-round", "none"] as const satisfies readonly Agreement[];

/** Adds the options of a test script; the defaults are what its top says. */
export function withCodecTestOptions(parser: Argv, definition: CodecTestDefinition): Argv {
  const { command, slaveCodec } = definition;
  let result = parser;
  for (const [name, option] of Object.entries(codecTestOptions(definition))) {
    result = result.option(name, withUnderscores(name, option));
  }
  return result
    .example(`${command} -- --codec ${slaveCodec}`, "test one codec")
    .example(`${command} -- --schedules 200 --seed 7`, "try many orders of events")
    .example(`${command} -- -n 4 -r 2 --assignment iid`, "blocks computed by two nodes each")
    .example(`${command} -- --sync asgd`, "hand messages over whenever they arrive");
}

/** What `--help` says before the options. */
export function codecTestDescription({ masterCodec }: CodecTestDefinition): string {
  const who = masterCodec === undefined ? "peer to peer" : "and its parameter server's";
  return (
    `Tests a codec ${who}, without a cluster: all nodes run in this process, through the same code as in a job.\n\n` +
    "In each round every node computes its blocks (gaussian numbers) and the codec must come to setResult on every node. " +
    "What is checked: nothing throws, hangs or sends astray; results are finite, the same on all nodes, the same in " +
    "whatever order messages arrive, and, where the codec averages gradients, the mean. Time is virtual: a deadlock is " +
    "found at once, and onSyncTimeout is tried. An error names the node, the round and the seed that repeats it.\n\n" +
    "The defaults stand at the top of the script and may be edited there."
  );
}

/** Runs the harness and says what it saw, in the seed's words. @returns the exit code */
export async function runCodecTest(
  args: Readonly<Record<string, unknown>>,
  definition: CodecTestDefinition,
): Promise<number> {
  // Errors name the lines of the codec's own file, which was bundled.
  process.setSourceMapsEnabled(true);
  const faults: string[] = [];
  for (const name of ["codec", "server-codec", "assignment", "sync", "agreement"]) {
    if (Array.isArray(args[name])) faults.push(`\`--${name}\`: expected it once, got it again`);
  }
  const number = (name: string, rule: string, isFine: (value: number) => boolean): number => {
    const value = args[name];
    if (typeof value !== "number" || !isFine(value))
      faults.push(`\`--${name}\`: expected ${rule}, got ${String(value)}`);
    return value as number;
  };
  const whole = (name: string): number =>
    number(name, "a whole number from 1", (value) => Number.isSafeInteger(value) && value >= 1);
  const tolerance =
    args["tolerance"] === undefined
      ? undefined
      : number("tolerance", "a number more than 0", (value) => value > 0);
  const agreement = args["agreement"] as Agreement | undefined;
  const options = {
    nodeCount: whole("node-count"),
    redundancy: whole("redundancy"),
    rounds: whole("rounds"),
    schedules: whole("schedules"),
    seed: number("seed", "a whole number", Number.isSafeInteger),
    assignment: ASSIGNMENTS[args["assignment"] as AssignmentName],
    sync: args["sync"] as SyncPolicyName,
    perTensor: args["per-tensor"] as boolean,
    parameters: {
      ...definition.parameters,
      ...parametersOf(args["param"] as readonly string[], faults),
    },
    callTimeoutMs: callTimeoutMsOf(args, faults),
    layout: layoutOf(definition.weightsShapes.map((shape, i) => ({ name: `tensor_${i}`, shape }))),
    ...(tolerance === undefined ? {} : { tolerance }),
    ...(agreement === undefined ? {} : { agreement }),
  };
  if (faults.length > 0)
    throw new PsgdError("SETTINGS_INVALID", `${faults.join("; ")}; see \`--help\``);

  const codecs = await codecsOf(args, definition);
  const log = consoleLog();
  // Here and not above: the harness brings vitest along, which only those have who develop.
  const { runCodecHarness } = await import("@psgd/harness");
  try {
    tellReport(await runCodecHarness({ ...codecs, ...options, log }), options.sync, log);
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    if (isPsgdError(error, "CODEC_THREW") && cause instanceof Error)
      process.stderr.write(`${cause.stack}\n`);
    throw error;
  }
  return EXIT_CODES.done;
}

function codecTestOptions(definition: CodecTestDefinition): Record<string, Options> {
  const { masterCodec } = definition;
  return {
    codec: {
      alias: "C",
      type: "string",
      default: definition.slaveCodec,
      describe: "codec of the nodes, FILE.CLASS: a file of codecs/ or any path",
    },
    ...(masterCodec === undefined
      ? {}
      : {
          "server-codec": {
            type: "string",
            describe: `codec of the parameter server, FILE.CLASS; by default ${masterCodec}, or with --codec what that one declares`,
          },
        }),
    assignment: {
      alias: ["block-assignment"],
      type: "string",
      choices: Object.keys(ASSIGNMENTS),
      default: definition.assignment,
      describe: "which nodes compute which blocks",
    },
    "node-count": {
      alias: "n",
      type: "number",
      default: definition.nodeCount,
      describe: "nodes that compute",
    },
    redundancy: {
      alias: "r",
      type: "number",
      default: definition.redundancy,
      describe: "nodes that compute the same block",
    },
    rounds: { type: "number", default: definition.rounds, describe: "steps of each node" },
    sync: {
      alias: ["psgd", "parallel_sgd"],
      type: "string",
      choices: Object.keys(SYNC_POLICIES),
      default: definition.sync,
      describe:
        "ssgd hands messages over in their own step only, asgd and ssp on arrival; under ssp no node is more than 3 steps ahead",
    },
    schedules: {
      type: "number",
      default: definition.schedules,
      describe: "orders of computing and arriving that are tried",
    },
    seed: {
      type: "number",
      default: definition.seed,
      describe: "inputs and orders follow from it: the same seed, the same run",
    },
    "per-tensor": {
      type: "boolean",
      default: false,
      describe: "one codec for each tensor of the model instead of one for all",
    },
    param: {
      type: "string",
      array: true,
      default: [],
      describe: "parameter for the codec, NAME=VALUE; may be given more than once",
    },
    agreement: {
      type: "string",
      choices: AGREEMENTS,
      describe:
        "which rounds must end alike on all nodes, bit for bit; by default every-round for gradients peer to peer, last-round for other ssgd, none for asgd and ssp",
    },
    tolerance: {
      type: "number",
      describe:
        "how far a result may be from the mean of all blocks, relative to its length; by default 1e-6 for gradients peer to peer in ssgd, else not checked",
    },
    "codec-timeout": {
      type: "number",
      default: definition.codecTimeoutMs / 1000,
      describe: "seconds one call of a codec may take",
    },
  };
}

async function codecsOf(
  args: Readonly<Record<string, unknown>>,
  { slaveCodec, masterCodec }: CodecTestDefinition,
): Promise<Pick<CodecHarnessOptions, "codec" | "serverCodec">> {
  const spec = args["codec"] as string;
  const serverSpec =
    (args["server-codec"] as string | undefined) ?? (spec === slaveCodec ? masterCodec : undefined);
  const { codec, server } = await pairCodecs(spec, {
    serverCodec: serverSpec,
    optimizer: undefined,
  });
  if (masterCodec === undefined && server !== undefined) {
    throw new PsgdError(
      "PAIRING_INVALID",
      `codec ${codec.name}: expected one that works peer to peer, got one whose server is ${server.name}; use \`npm run test:ps -- --codec ${spec}\``,
    );
  }
  if (masterCodec !== undefined && server === undefined) {
    throw new PsgdError(
      "PAIRING_INVALID",
      `codec ${codec.name}: expected one that declares its server, got one that does not; add \`--server-codec FILE.CLASS\`, or use \`npm run test:p2p -- --codec ${spec}\``,
    );
  }
  return {
    codec: codec.codecClass,
    ...(server === undefined ? {} : { serverCodec: server.codecClass }),
  };
}

function tellReport(report: HarnessReport, sync: SyncPolicyName, log: Logger): void {
  const { schedules, nodeCount, rounds, seed, messageCount, messageBytes } = report;
  log.info("All test input_ref was handled without exception.");
  log.info(
    `${rounds} rounds of ${nodeCount} nodes in ${schedules} orders, seed ${seed}: ${messageCount} messages and ${messageBytes} bytes in each, ` +
      `${report.lateCount} late, staleness at most ${report.maxStaleness}.`,
  );
  log.info(
    sync === "ssgd"
      ? "The codec is usable in a synchronous environment."
      : "The codec has withstood these orders of an asynchronous environment; more with --schedules.",
  );
  log.warn("The functionality of the codec cannot be tested here.");
  log.warn(
    "Use Mathematical analysis to make sure that your codec process didn't prevents SGD from properly convergence.",
  );
}

function consoleLog(): Logger {
  const say = (level: string) => (message: string) =>
    void process.stdout.write(`${level}: ${message}\n`);
  return { info: say("INFO"), warn: say("WARNING"), error: say("ERROR") };
}

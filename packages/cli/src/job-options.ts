import type { Argv, Options } from "yargs";
import { MODELS } from "@psgd/compute";
import { ASSIGNMENTS, PsgdError, type AssignmentName, type CodecParameters } from "@psgd/core";
import { DATASETS } from "@psgd/data";
import {
  GRADIENT_DESCENTS,
  OPTIMIZERS,
  DEFAULT_STALENESS,
  SYNC_POLICIES,
  type GradientDescentName,
  type SyncPolicyName,
} from "@psgd/sgd";
import type { JobRequest } from "./build-job.js";
import { DEFAULT_ENGINE, ENGINE_CHOICES, type EngineChoice } from "./compose.js";

/** The optimizer's name of before version 0.4 of the original. */
const OPTIMIZER_ALIASES: Readonly<Record<string, string>> = { psgd: "parallel_sgd" };

/** Options that say what a job is; hyphens, with the seed's underscores as a second spelling. */
const JOB_OPTIONS = {
  codec: {
    alias: "C",
    type: "string",
    default: "plain.Plain",
    describe: "codec, FILE.CLASS: a file of codecs/, or any path",
  },
  "server-codec": {
    type: "string",
    describe: "codec of the parameter server, FILE.CLASS; by default the one the codec declares",
  },
  "node-count": {
    alias: "n",
    type: "number",
    default: 1,
    describe: "number of nodes that train; a parameter server is not counted",
  },
  "batch-size": { alias: "b", type: "number", default: 64, describe: "samples per block" },
  redundancy: {
    alias: "r",
    type: "number",
    default: 1,
    describe: "number of nodes that compute the same block",
  },
  "block-assignment": {
    type: "string",
    choices: Object.keys(ASSIGNMENTS),
    default: "iid",
    describe: "which nodes compute which blocks",
  },
  optimizer: {
    alias: "O",
    type: "string",
    choices: [...Object.keys(OPTIMIZERS), ...Object.keys(OPTIMIZER_ALIASES)],
    describe: "what nodes exchange, gradients or weights; by default the one the codec is made for",
  },
  psgd: {
    alias: "parallel_sgd",
    type: "string",
    choices: Object.keys(SYNC_POLICIES),
    default: "ssgd",
    describe:
      "ssgd: nodes wait for each other in every step; asgd: they do not; ssp: only for those that are --staleness steps behind",
  },
  staleness: {
    type: "number",
    default: DEFAULT_STALENESS,
    describe: "with --psgd ssp: steps that a node may be ahead of the slowest",
  },
  "gradient-descent": {
    type: "string",
    choices: Object.keys(GRADIENT_DESCENTS),
    default: "momentum",
    describe: "rule that turns gradients into steps",
  },
  "learn-rate": {
    type: "number",
    describe: `learning rate; by default ${Object.entries(GRADIENT_DESCENTS)
      .map(([name, { defaultLearningRate }]) => `${name} ${defaultLearningRate}`)
      .join(", ")}`,
  },
  epochs: { alias: "E", type: "number", default: 1, describe: "passes over the training data" },
  steps: { type: "number", describe: "stop after this number of steps, for a quick trial" },
  model: {
    alias: "m",
    type: "string",
    default: "mlp",
    describe: `${Object.keys(MODELS).join(", ")}, a directory with a saved model (job-ID/model), or a file whose default export is (tf, { inputShape, outputSize }) => model`,
  },
  dataset: {
    alias: "D",
    type: "string",
    default: "mnist",
    describe: `${Object.keys(DATASETS).join(", ")}; all but mnist are synthetic, made from a seed`,
  },
  input: {
    alias: "I",
    type: "number",
    describe: "values of one sample, checked against the data set",
  },
  "non-iid": {
    type: "boolean",
    default: false,
    describe: "sort the samples so that a block sees one label in a step",
  },
  shards: {
    type: "number",
    describe:
      "give each block its own data: so many shards of the samples sorted by label, dealt at random; 2: few labels each",
  },
  "image-classification": {
    type: "boolean",
    describe: "accepted and not needed: image data sets always become x/255-0.5, labels one-hot",
  },
  param: {
    type: "string",
    array: true,
    default: [],
    defaultDescription: "none",
    describe: "parameter for the codec, NAME=VALUE; may be given more than once",
  },
  "codec-map": {
    type: "string",
    describe:
      'JSON file {"TENSOR": "FILE.CLASS", "*": "FILE.CLASS"}, instead of --codec; "*": all others',
  },
  "per-tensor": {
    type: "boolean",
    default: false,
    describe: "a codec instance for each tensor of the model instead of one for all",
  },
  seed: { type: "number", default: 1, describe: "everything random in the job follows from it" },
  engine: {
    type: "string",
    choices: ENGINE_CHOICES,
    default: DEFAULT_ENGINE,
    describe: "what computes the training steps; auto: the fastest of each node's machine",
  },
  freeze: {
    type: "string",
    array: true,
    default: [],
    defaultDescription: "none",
    describe: "layer that keeps its weights, neither trained nor sent; may be given more than once",
  },
  "target-accuracy": {
    type: "number",
    describe: "stop after the epoch whose accuracy reaches this, between 0 and 1",
  },
  "sync-timeout": {
    type: "number",
    default: 10,
    describe:
      "seconds a step waits for its peers before the codec may rescue it, and again after; steps that a node rested in count",
  },
  "codec-timeout": {
    type: "number",
    default: 30,
    describe: "seconds one call of a codec may take",
  },
} as const satisfies Record<string, Options>;

/** Adds the options of a job, both spellings. */
export function withJobOptions(parser: Argv): Argv {
  let result = parser;
  for (const [name, option] of Object.entries<Options>(JOB_OPTIONS)) {
    result = result.option(name, withUnderscores(name, option));
  }
  return result;
}

/** NOTE: yargs does not map `--node_count` to `--node-count` by itself. */
export function withUnderscores(name: string, option: Options): Options {
  if (!name.includes("-")) return { requiresArg: option.type !== "boolean", ...option };
  const aliases = [option.alias ?? [], name.replaceAll("-", "_")].flat();
  return { requiresArg: option.type !== "boolean", ...option, alias: aliases };
}

/** What yargs has parsed of them, by the first spelling. */
export type JobArguments = Readonly<Record<string, unknown>>;

/**
 * Checks the values; every fault is listed at once.
 * @throws {PsgdError} SETTINGS_INVALID
 */
export function jobRequestOf(args: JobArguments): JobRequest {
  const faults: string[] = [];
  const number = (name: string, rule: string, isFine: (value: number) => boolean): number => {
    const value = args[name];
    if (typeof value !== "number" || !isFine(value))
      faults.push(
        // yargs makes NaN of a text that is no number, and the text is gone.
        `\`--${name}\`: expected ${rule}, got ${Number.isNaN(value) ? "no number" : String(value)}`,
      );
    return value as number;
  };
  const whole = (name: string): number =>
    number(name, "a whole number from 1", (value) => Number.isSafeInteger(value) && value >= 1);
  const optional = <T>(name: string, read: () => T): T | undefined =>
    args[name] === undefined ? undefined : read();
  const seconds = (name: string): number =>
    1000 * number(name, "seconds, more than 0", (value) => value > 0 && value < 1e6);
  const optimizer = args["optimizer"] as string | undefined;
  const serverCodec = args["server-codec"] as string | undefined;
  const request: JobRequest = {
    codec: args["codec"] as string,
    // The original prints "sgq" where no server is used, and r0.5 took "null" for none.
    serverCodec: serverCodec === "sgq" || serverCodec === "null" ? undefined : serverCodec,
    perTensor: args["per-tensor"] as boolean,
    codecMap: args["codec-map"] as string | undefined,
    nodeCount: whole("node-count"),
    redundancy: whole("redundancy"),
    blockAssignment: args["block-assignment"] as AssignmentName,
    batchSize: whole("batch-size"),
    epochs: whole("epochs"),
    maxSteps: optional("steps", () => whole("steps")),
    seed: number("seed", "a whole number", Number.isSafeInteger),
    sync: args["psgd"] as SyncPolicyName,
    staleness: number(
      "staleness",
      "a whole number from 0",
      (value) => Number.isSafeInteger(value) && value >= 0,
    ),
    syncTimeoutMs: seconds("sync-timeout"),
    codecTimeoutMs: seconds("codec-timeout"),
    optimizer: optimizer === undefined ? undefined : (OPTIMIZER_ALIASES[optimizer] ?? optimizer),
    gradientDescent: args["gradient-descent"] as GradientDescentName,
    learningRate: optional("learn-rate", () =>
      number("learn-rate", "a number more than 0", (value) => value > 0 && Number.isFinite(value)),
    ),
    parameters: parametersOf(args["param"] as readonly string[], faults),
    model: args["model"] as string,
    dataset: args["dataset"] as string,
    nonIid: args["non-iid"] as boolean,
    shards: optional("shards", () => whole("shards")),
    inputSize: optional("input", () => whole("input")),
    engine: args["engine"] as EngineChoice,
    freeze: args["freeze"] as readonly string[],
    targetAccuracy: optional("target-accuracy", () =>
      number(
        "target-accuracy",
        "a number more than 0 and at most 1",
        (value) => value > 0 && value <= 1,
      ),
    ),
  };
  if (faults.length > 0)
    throw new PsgdError("SETTINGS_INVALID", `${faults.join("; ")}; see \`--help\``);
  return request;
}

/** The parameters of a codec from `NAME=VALUE`; what is not of that form is added to `faults`. */
export function parametersOf(entries: readonly string[], faults: string[]): CodecParameters {
  const parameters: Record<string, number | string | boolean> = {};
  for (const entry of entries) {
    const [, name, text] = /^([A-Za-z_][\w-]*)=(.*)$/s.exec(entry) ?? [];
    if (name === undefined || text === undefined) {
      faults.push(`\`--param\`: expected NAME=VALUE, got ${JSON.stringify(entry)}`);
      continue;
    }
    const value =
      text === "true"
        ? true
        : text === "false"
          ? false
          : text.trim() !== "" && Number.isFinite(Number(text))
            ? Number(text)
            : text;
    parameters[name] = value;
  }
  return parameters;
}

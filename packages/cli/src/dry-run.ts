import { estimateCost } from "@psgd/compute";
import {
  ASSIGNMENTS,
  createSettings,
  nodeName,
  type BlockAssignment,
  type GlobalSettings,
  type TensorLayout,
} from "@psgd/core";
import type { CodecPair, TrafficMeasurement, TrafficSeen } from "@psgd/harness";
import { unpackPackage, type JobSpec } from "@psgd/runtime";
import { GRADIENT_DESCENTS, OPTIMIZERS, fp32BytesPerStep } from "@psgd/sgd";
import { pack } from "@psgd/wire";
import type { BuiltJob } from "./build-job.js";
import { bytesText } from "./live-display.js";
import { table } from "./table.js";
import { FP32_TRAFFIC } from "./traffic-report.js";
import { trialTraffic, type TrialTraffic } from "./trial-traffic.js";

/** What a job would cost, without running it. */
export interface DryRun {
  readonly codec: string;
  readonly serverCodec: string | undefined;
  readonly sync: JobSpec["sync"];
  readonly parameters: number;
  /** Steps of the job, and those that were tried. */
  readonly steps: number;
  readonly triedSteps: number;
  readonly stepsWithMessages: number;
  /** Of the steps tried, whole periods that stand for the steps that were not; 0 if all were. */
  readonly stepsRepeated: number;
  /** Parameters of the codecs that name a step the trial did not come to, or not far enough beyond: their values. */
  readonly notReached: Readonly<Record<string, number>>;
  /** Over all nodes, as means of the whole job. */
  readonly bytesPerStep: number;
  readonly messagesPerStep: number;
  /** If everything were sent in each step. */
  readonly fp32BytesPerStep: number;
  readonly links: readonly {
    readonly from: string;
    readonly to: string;
    readonly bytesPerStep: number;
  }[];
  /** Messages that wait for one another in a step. */
  readonly longestChain: number;
  readonly communicationMsPerStep: number;
  /** What these times are reckoned with. */
  readonly network: NetworkSpeed;
  /** What each worker is sent before the start. */
  readonly packages: Readonly<Record<string, number>>;
  readonly loads: readonly NodeLoad[];
  /** By node: the blocks it computes. */
  readonly blocks: readonly (readonly number[])[];
  readonly waits: readonly string[];
  /** What the codecs said first. */
  readonly said: readonly string[];
}

/** Of each node's connection, and of a message on its way. */
export interface NetworkSpeed {
  readonly bytesPerSec: number;
  readonly latencyMs: number;
}

/** What a node computes and holds. */
interface NodeLoad {
  readonly node: string;
  /** Of the forward and backward passes over all its blocks, estimated from the model's plan. */
  readonly flopsPerStep: number;
  readonly modelBytes: number;
  readonly optimizerBytes: number;
  /** `undefined` if its state cannot be packed. */
  readonly codecBytes: number | undefined;
  readonly dataBytes: number;
}

/**
 * When one of these is used up since the codecs have settled, they have sent in two steps and some steps are done, a trial
 * ends.
 */
const TRIAL: TrialBudget = { stepsWithMessages: 100, messages: 4e4, bytes: 1.2e8, values: 3e7 };
const MIN_TRIAL_STEPS = 4;

/** When one of these is, it ends in any case: codecs may send every few hundred steps, or never. */
const PATIENCE: TrialBudget = { steps: 2e4, messages: 4e5, bytes: 1e9, values: 1.5e9 };

/** What was seen, and `values` that all nodes computed. */
type TrialBudget = Partial<Used>;
type Used = Readonly<Record<keyof TrafficSeen | "values", number>>;

/** Parameters that are a number of steps, as in `warmup_steps`: a codec may send otherwise from there on. */
const NAMES_STEPS = /step|warm/i;

/** Weights, now and at the start, and the two buffers of results; the gradient of each block comes to them. */
const COPIES_OF_MODEL = 4;

/**
 * Lets the codec of a job that is ready take some steps in the harness, and reckons what the job would cost.
 * @throws {PsgdError} what the codec is guilty of
 */
export async function dryRun(
  { spec, packages, pairs, parameterCount }: BuiltJob,
  network: NetworkSpeed,
): Promise<DryRun> {
  const { layout, train } = unpackPackage(
    "weights_and_layers_package",
    packages.weights_and_layers_package,
  );
  const globals = unpackPackage("global_setting_package", packages.global_setting_package);
  const assignment = ASSIGNMENTS[spec.blockAssignment](spec);
  // Here and not above: the harness brings vitest along, which only those have who develop.
  const { measureTraffic } = await import("@psgd/harness");
  const codecs = pairs.map(({ paired: { codec, server } }) => ({
    codec: codec.codecClass,
    server: server?.codecClass,
  }));
  const blocksComputed = assignment.nodeToBlocks.flat().length;
  const { stepCount } = globals;
  const { settings, stepsNamed } = watchedSettings(
    createSettings({
      assignment,
      batchSize: spec.batchSize,
      stepCount,
      parameters: spec.parameters,
      seed: spec.seed,
    }),
  );
  const settledAt = (): number =>
    Math.max(0, ...[...stepsNamed.values()].filter((steps) => steps < stepCount));
  let untilSettled = NOTHING;
  const said = new Set<string>();
  const listen = (line: string): void => {
    // The harness itself tells of each message.
    if (line.startsWith("Codec: ") && said.size < MOST_SAID) said.add(line);
  };
  const measured = await measureTraffic({
    codecs: codecs as [CodecPair, ...CodecPair[]],
    rule: OPTIMIZERS[spec.optimizer],
    settings,
    sync: spec.sync,
    layout,
    perTensor: pairs[0]!.tensor !== undefined,
    seed: spec.seed,
    callTimeoutMs: spec.codecTimeoutMs,
    log: { info: listen, warn: listen, error: listen },
    isEnough: (seen) => {
      const used = { ...seen, values: seen.steps * blocksComputed * parameterCount };
      if (seen.steps <= settledAt()) untilSettled = used;
      if (isUsedUp(PATIENCE, used)) return true;
      const hasPeriod =
        used.stepsWithMessages - untilSettled.stepsWithMessages >= 2 &&
        used.steps - untilSettled.steps >= MIN_TRIAL_STEPS;
      return hasPeriod && isUsedUp(TRIAL, used, untilSettled);
    },
  });
  const { steps } = measured;
  const trial = { steps, stepCount, settledAt: settledAt() };
  const traffic = trialTraffic(measured.messages, trial);
  const { links } = traffic;
  const sum = (of: (link: (typeof links)[number]) => number): number =>
    links.reduce((total, link) => total + of(link), 0);
  return {
    codec: spec.codec,
    serverCodec: spec.serverCodec,
    sync: spec.sync,
    parameters: parameterCount,
    steps: stepCount,
    triedSteps: steps,
    stepsWithMessages: traffic.stepsWithMessages,
    stepsRepeated: traffic.stepsRepeated,
    notReached: Object.fromEntries(
      [...stepsNamed].filter(([, named]) => named < stepCount && steps - named < MIN_TRIAL_STEPS),
    ),
    bytesPerStep: sum(({ bytes }) => bytes) / stepCount,
    messagesPerStep: sum(({ messages }) => messages) / stepCount,
    fp32BytesPerStep: pairs.reduce(
      (total, { tensor, paired: { server } }) =>
        total + fp32BytesPerStep(valuesOf(layout, tensor), assignment, server !== undefined),
      0,
    ),
    links: links.map(({ from, to, bytes }) => ({
      from: nodeName(from),
      to: nodeName(to),
      bytesPerStep: bytes / stepCount,
    })),
    longestChain: traffic.longestChain,
    communicationMsPerStep: communicationMs(traffic, network) / stepCount,
    network,
    packages: Object.fromEntries(
      Object.entries(packages).map(([name, bytes]) => [name, bytes.length]),
    ),
    loads: loadsOf(spec, measured, {
      ...{ assignment, size: parameterCount, flopsPerBlock: estimateCost(train).flops },
      dataBytes: packages.data_sample_package.length,
    }),
    blocks: assignment.nodeToBlocks,
    waits: waitsOf(spec, traffic),
    said: [...said],
  };
}

function valuesOf({ tensors, size }: TensorLayout, tensor: string | undefined): number {
  return tensors.find(({ name }) => name === tensor)?.size ?? size;
}

/** The same settings; what number of steps the codecs ask for by name is noted. */
function watchedSettings(settings: GlobalSettings): {
  readonly settings: GlobalSettings;
  readonly stepsNamed: ReadonlyMap<string, number>;
} {
  const stepsNamed = new Map<string, number>();
  const param = (name: string, fallback: number): number => {
    const value = settings.param(name, fallback);
    if (NAMES_STEPS.test(name) && Number.isInteger(value)) stepsNamed.set(name, value);
    return value;
  };
  return { settings: { ...settings, param: param as GlobalSettings["param"] }, stepsNamed };
}

const NOTHING: Used = { steps: 0, stepsWithMessages: 0, messages: 0, bytes: 0, values: 0 };

function isUsedUp(budget: TrialBudget, used: Used, before = NOTHING): boolean {
  const names = Object.keys(budget) as (keyof TrialBudget)[];
  return names.some((name) => used[name] - before[name] >= budget[name]!);
}

/** The stages of a step follow one another: each takes a way through the network, and as long as its busiest connection. */
function communicationMs(
  { busiestBytes, stages }: TrialTraffic,
  { bytesPerSec, latencyMs }: NetworkSpeed,
): number {
  return (1000 * busiestBytes) / bytesPerSec + latencyMs * stages;
}

function loadsOf(
  spec: JobSpec,
  { stateBytes }: TrafficMeasurement,
  job: {
    readonly assignment: BlockAssignment;
    readonly size: number;
    readonly flopsPerBlock: number;
    readonly dataBytes: number;
  },
): NodeLoad[] {
  const { assignment, size, flopsPerBlock, dataBytes } = job;
  const descent = GRADIENT_DESCENTS[spec.gradientDescent].create(size, spec.learningRate);
  const descentBytes = pack(descent.exportState()).length;
  return [...stateBytes].map(([nodeId, codecBytes]) => {
    const node = nodeName(nodeId);
    const server = { flopsPerStep: 0, modelBytes: 4 * size, optimizerBytes: 0, dataBytes: 0 };
    if (nodeId < 0) return { node, codecBytes, ...server };
    const blocks = assignment.nodeToBlocks[nodeId]!.length;
    return {
      ...{ node, codecBytes, dataBytes },
      flopsPerStep: blocks * flopsPerBlock,
      modelBytes: (COPIES_OF_MODEL + blocks) * 4 * size,
      // Each block has a memory of its own.
      optimizerBytes: blocks * descentBytes,
    };
  });
}

/** Who cannot go on without whom. */
function waitsOf(spec: JobSpec, { links, longestChain }: TrialTraffic): string[] {
  const counts = Array.from(
    { length: spec.nodeCount },
    (_, node) => links.filter(({ to }) => to === node).length,
  );
  const most = Math.max(...counts);
  if (most === 0) return ["Nobody hears from anybody: no node waits."];
  const others = most === Math.min(...counts) ? String(most) : `${Math.min(...counts)} to ${most}`;
  const hasServer = links.some(({ from }) => from < 0);
  const whom =
    hasServer && most === 1
      ? "the parameter server only"
      : `${others} other${most === 1 ? "" : "s"}${hasServer ? ", the parameter server among them" : ""}`;
  const chain =
    longestChain === 1
      ? "no message of a step waits for another"
      : `in a step up to ${longestChain} messages wait for one another`;
  const lines = [`A node hears from ${whom}; ${chain}.`];
  if (spec.sync === "ssgd")
    lines.push(
      spec.redundancy > 1
        ? `Synchronous: a step waits for what it needs; each block has ${spec.redundancy} holders, so a codec that counts blocks can go on without ${spec.redundancy - 1} node${spec.redundancy === 2 ? "" : "s"}.`
        : "Synchronous: one node that is slow makes all that need it slow, and one that is lost ends the job.",
    );
  if (spec.sync === "asgd") lines.push("Asynchronous: a node waits only where its codec does.");
  if (spec.sync === "ssp")
    lines.push(`Bounded staleness: a node waits for those ${spec.staleness} steps behind.`);
  return lines;
}

function short(value: number): number {
  return Number(value.toPrecision(3));
}

/** Lines of codecs: a few say what they are set to, more would be a log. */
const MOST_SAID = 4;

/** Links and nodes that are listed one by one; of more, those that are equal are one row. */
const LISTED = 6;

/** Rows; instead of many that follow one another and are equal but for their first cells, one. */
function grouped(
  rows: readonly (readonly string[])[],
  nameOf: (count: number, first: string, last: string) => string,
): (readonly string[])[] {
  const groups: (readonly string[])[][] = [];
  for (const row of rows) {
    const same = groups.at(-1)?.[0]?.slice(1).join() === row.slice(1).join();
    if (same) groups.at(-1)!.push(row);
    else groups.push([row]);
  }
  return groups.flatMap((group) => {
    const [[first, ...cells], last] = [group[0]!, group.at(-1)!];
    if (group.length <= LISTED) return group;
    return [[nameOf(group.length, first!, last[0]!), ...cells]];
  });
}

function atMost(
  most: number,
  rows: readonly (readonly string[])[],
): readonly (readonly string[])[] {
  const rest = rows.length - most;
  return rest > 0 ? [...rows.slice(0, most), [`${rest} more`, "no more each"]] : rows;
}

/** A dry run as tables for people. */
export function dryRunReport(run: DryRun): string {
  const perStep = `${bytesText(Math.round(run.bytesPerStep))} in ${short(run.messagesPerStep)} messages`;
  const dense =
    run.fp32BytesPerStep === 0
      ? ""
      : `, ${((100 * run.bytesPerStep) / run.fp32BytesPerStep).toPrecision(3)} % of fp32`;
  const isWhole = run.triedSteps === run.steps;
  const repeated = isWhole ? "" : `, ${run.stepsRepeated} stand for the rest`;
  const total = bytesText(Math.round(run.bytesPerStep * run.steps));
  const { bytesPerSec, latencyMs } = run.network;
  const speed = `at ${short((8 * bytesPerSec) / 1e6)} Mbit/s and ${latencyMs} ms`;
  const facts = table(
    ["WHAT", "HOW MUCH"],
    [
      ["parameters", String(run.parameters)],
      [
        "steps",
        `${run.steps} per node, ${run.triedSteps} tried, ${run.stepsWithMessages} of them with messages${repeated}`,
      ],
      ["sent per step, over all nodes", `${perStep}${dense}`],
      ["sent in the whole job", isWhole ? total : `about ${total}`],
      ["time of communication per step", `about ${short(run.communicationMsPerStep)} ms, ${speed}`],
      ...Object.entries(run.packages).map(([name, bytes]) => [
        `to each worker: ${name}`,
        bytesText(bytes),
      ]),
    ],
  );
  const links = table(
    ["LINK", "PER STEP"],
    atMost(
      LISTED,
      grouped(
        run.links.map(({ from, to, bytesPerStep }) => [
          `${from} to ${to}`,
          bytesText(Math.round(bytesPerStep)),
        ]),
        (count, first) => `${count} links, each, as ${first}`,
      ),
    ),
  );
  const nodes = table(
    ["NODE", "BLOCKS", "MFLOP PER STEP", "MODEL", "OPTIMIZER", "CODEC", "DATA"],
    grouped(
      run.loads.map((load, index) => {
        const blocks = run.blocks[index] ?? [];
        return [
          load.node,
          run.loads.length > LISTED ? String(blocks.length) : blocks.join(" "),
          String(short(load.flopsPerStep / 1e6)),
          ...[load.modelBytes, load.optimizerBytes, load.codecBytes, load.dataBytes].map((bytes) =>
            bytes === undefined ? "unknown" : bytesText(bytes),
          ),
        ];
      }),
      (_, first, last) => `${first} to ${last}, each`,
    ),
  );
  const remarks = [
    ...run.said,
    ...run.waits,
    FP32_TRAFFIC,
    ...(isWhole
      ? []
      : [
          `Reckoned from the first ${run.triedSteps} steps: if a codec sends otherwise later, or in the last step, that is not in it.`,
        ]),
    ...Object.entries(run.notReached).map(
      ([name, value]) =>
        `NOT SEEN: what is sent from step ${value} on, where \`${name}\` is over; it costs too much to try so many steps. A dry run with \`--param ${name}=4\` shows it.`,
    ),
  ];
  return `${facts}\n${links}\n${nodes}\n${remarks.join("\n")}\n`;
}

const UNITS = { kbit: 1e3, mbit: 1e6, gbit: 1e9 } as const;

/** `1Gbit`, `100Mbit`, `56kbit` as bytes per second; `undefined` if it is none. */
export function bandwidthOf(text: string): number | undefined {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([kmg]bit)(?:\/s)?$/i.exec(text.trim()) ?? [];
  if (amount === undefined || unit === undefined || Number(amount) === 0) return undefined;
  return (Number(amount) * UNITS[unit.toLowerCase() as keyof typeof UNITS]) / 8;
}

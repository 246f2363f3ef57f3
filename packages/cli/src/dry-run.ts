import { estimateCost } from "@psgd/compute";
import {
  ASSIGNMENTS,
  createSettings,
  nodeName,
  type BlockAssignment,
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
  /** Those that the means below are over: whole periods. */
  readonly stepsCounted: number;
  /** Over all nodes, as means. */
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
  /** What each worker is sent before the start. */
  readonly packages: Readonly<Record<string, number>>;
  readonly loads: readonly NodeLoad[];
  /** By node: the blocks it computes. */
  readonly blocks: readonly (readonly number[])[];
  readonly waits: readonly string[];
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

/** When one of these is used up, codecs have sent in two steps and some steps are done, a trial ends. */
const TRIAL: TrialBudget = { stepsWithMessages: 100, messages: 4e4, bytes: 1.2e8, values: 3e7 };
const MIN_TRIAL_STEPS = 4;

/** When one of these is, it ends in any case: codecs may send every few hundred steps, or never. */
const PATIENCE: TrialBudget = { steps: 2e4, messages: 4e5, bytes: 1e9, values: 1.5e9 };

/** What was seen, and `values` that all nodes computed. */
type TrialBudget = Partial<Readonly<Record<keyof TrafficSeen | "values", number>>>;

/** Weights, now and at the start, and the two buffers of results; the gradient of each block comes to them. */
const COPIES_OF_MODEL = 4;

/**
 * Lets the codec of a job that is ready take some steps in the harness, and reckons what the job would cost.
 * @throws {PsgdError} what the codec is guilty of
 */
export async function dryRun(
  { spec, packages, pairs, parameterCount }: BuiltJob,
  network: { readonly bytesPerSec: number; readonly latencyMs: number },
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
  const measured = await measureTraffic({
    codecs: codecs as [CodecPair, ...CodecPair[]],
    rule: OPTIMIZERS[spec.optimizer],
    settings: createSettings({
      assignment,
      batchSize: spec.batchSize,
      stepCount: globals.stepCount,
      parameters: spec.parameters,
      seed: spec.seed,
    }),
    sync: spec.sync,
    layout,
    perTensor: pairs[0]!.tensor !== undefined,
    seed: spec.seed,
    callTimeoutMs: spec.codecTimeoutMs,
    isEnough: (seen) => {
      const used = { ...seen, values: seen.steps * blocksComputed * parameterCount };
      if (isUsedUp(PATIENCE, used)) return true;
      const hasPeriod = seen.stepsWithMessages >= 2 && seen.steps >= MIN_TRIAL_STEPS;
      return hasPeriod && isUsedUp(TRIAL, used);
    },
  });
  const traffic = trialTraffic(measured.messages, { ...measured, stepCount: globals.stepCount });
  const { links, stepsCounted } = traffic;
  const sum = (of: (link: (typeof links)[number]) => number): number =>
    links.reduce((total, link) => total + of(link), 0);
  return {
    codec: spec.codec,
    serverCodec: spec.serverCodec,
    sync: spec.sync,
    parameters: parameterCount,
    steps: globals.stepCount,
    triedSteps: measured.steps,
    stepsWithMessages: traffic.stepsWithMessages,
    stepsCounted,
    bytesPerStep: sum(({ bytes }) => bytes) / stepsCounted,
    messagesPerStep: sum(({ messages }) => messages) / stepsCounted,
    fp32BytesPerStep: pairs.reduce(
      (total, { tensor, paired: { server } }) =>
        total + fp32BytesPerStep(valuesOf(layout, tensor), assignment, server !== undefined),
      0,
    ),
    links: links.map(({ from, to, bytes }) => ({
      from: nodeName(from),
      to: nodeName(to),
      bytesPerStep: bytes / stepsCounted,
    })),
    longestChain: traffic.longestChain,
    communicationMsPerStep: communicationMs(traffic, network),
    packages: Object.fromEntries(
      Object.entries(packages).map(([name, bytes]) => [name, bytes.length]),
    ),
    loads: loadsOf(spec, measured, {
      ...{ assignment, size: parameterCount, flopsPerBlock: estimateCost(train).flops },
      dataBytes: packages.data_sample_package.length,
    }),
    blocks: assignment.nodeToBlocks,
    waits: waitsOf(spec, traffic),
  };
}

function valuesOf({ tensors, size }: TensorLayout, tensor: string | undefined): number {
  return tensors.find(({ name }) => name === tensor)?.size ?? size;
}

function isUsedUp(budget: TrialBudget, used: Required<TrialBudget>): boolean {
  const names = Object.keys(budget) as (keyof TrialBudget)[];
  return names.some((name) => used[name] >= budget[name]!);
}

/** The stages of a step follow one another: each takes a way through the network, and as long as its busiest connection. */
function communicationMs(
  { busiestBytes, stages, stepsCounted }: TrialTraffic,
  { bytesPerSec, latencyMs }: { readonly bytesPerSec: number; readonly latencyMs: number },
): number {
  return ((1000 * busiestBytes) / bytesPerSec + latencyMs * stages) / stepsCounted;
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

/** Links that are listed; the others are like these or less. */
const LISTED_LINKS = 6;

/** A dry run as tables for people. */
export function dryRunReport(run: DryRun): string {
  const perStep = `${bytesText(Math.round(run.bytesPerStep))} in ${short(run.messagesPerStep)} messages`;
  const dense =
    run.fp32BytesPerStep === 0
      ? ""
      : `, ${((100 * run.bytesPerStep) / run.fp32BytesPerStep).toPrecision(3)} % of fp32`;
  const isWhole = run.triedSteps === run.steps;
  const counted = isWhole ? "" : `, ${run.stepsCounted} counted`;
  const total = bytesText(Math.round(run.bytesPerStep * run.steps));
  const facts = table(
    ["WHAT", "HOW MUCH"],
    [
      ["parameters", String(run.parameters)],
      [
        "steps",
        `${run.steps} per node, ${run.triedSteps} tried, ${run.stepsWithMessages} of them with messages${counted}`,
      ],
      ["sent per step, over all nodes", `${perStep}${dense}`],
      ["sent in the whole job", isWhole ? total : `about ${total}`],
      ["time of communication per step", `about ${short(run.communicationMsPerStep)} ms`],
      ...Object.entries(run.packages).map(([name, bytes]) => [
        `to each worker: ${name}`,
        bytesText(bytes),
      ]),
    ],
  );
  const rest = run.links.length - LISTED_LINKS;
  const links = table(
    ["LINK", "PER STEP"],
    [
      ...run.links
        .slice(0, LISTED_LINKS)
        .map(({ from, to, bytesPerStep }) => [
          `${from} to ${to}`,
          bytesText(Math.round(bytesPerStep)),
        ]),
      ...(rest > 0 ? [[`${rest} more`, "no more each"]] : []),
    ],
  );
  const nodes = table(
    ["NODE", "BLOCKS", "MFLOP PER STEP", "MODEL", "OPTIMIZER", "CODEC", "DATA"],
    run.loads.map((load, index) => [
      load.node,
      run.blocks[index]?.join(" ") ?? "",
      String(short(load.flopsPerStep / 1e6)),
      ...[load.modelBytes, load.optimizerBytes, load.codecBytes, load.dataBytes].map((bytes) =>
        bytes === undefined ? "unknown" : bytesText(bytes),
      ),
    ]),
  );
  const remarks = [
    ...run.waits,
    FP32_TRAFFIC,
    ...(isWhole
      ? []
      : [
          `Reckoned from the first ${run.triedSteps} steps: if a codec sends otherwise later, after a warm-up or in the last step, that is not in it.`,
        ]),
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

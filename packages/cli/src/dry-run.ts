import { ASSIGNMENTS, createSettings, nodeName } from "@psgd/core";
import type { CodecPair, TrafficMeasurement } from "@psgd/harness";
import { unpackPackage, type JobSpec } from "@psgd/runtime";
import { GRADIENT_DESCENTS, OPTIMIZERS } from "@psgd/sgd";
import { pack } from "@psgd/wire";
import type { BuiltJob } from "./build-job.js";
import { bytesText } from "./live-display.js";
import { table } from "./table.js";

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
  /** Over all nodes, as a mean over the steps tried. */
  readonly bytesPerStep: number;
  readonly messagesPerStep: number;
  readonly denseBytesPerStep: number;
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
  readonly memory: readonly NodeMemory[];
  /** By node: the blocks it computes. */
  readonly blocks: readonly (readonly number[])[];
  readonly waits: readonly string[];
}

interface NodeMemory {
  readonly node: string;
  readonly modelBytes: number;
  readonly optimizerBytes: number;
  readonly codecBytes: number;
  readonly dataBytes: number;
}

/** Values that are computed, and sent, in trial steps altogether, so that a large job does not take minutes. */
const TRIAL_VALUES = 3e7;
const TRIAL_MESSAGES = 4e4;
const MIN_TRIAL_STEPS = 4;
const MAX_TRIAL_STEPS = 400;

/** Weights, a gradient, and the two buffers of results. */
const COPIES_OF_MODEL = 4;

/**
 * Lets the codec of a job that is ready take some steps in the harness, and reckons what the job would cost.
 * @throws {PsgdError} what the codec is guilty of
 */
export async function dryRun(
  { spec, packages, pairs, parameterCount }: BuiltJob,
  network: { readonly bytesPerSec: number; readonly latencyMs: number },
): Promise<DryRun> {
  const { layout } = unpackPackage(
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
  const measure = (stepCount: number): Promise<TrafficMeasurement> =>
    measureTraffic({
      codecs: codecs as [CodecPair, ...CodecPair[]],
      rule: OPTIMIZERS[spec.optimizer],
      settings: createSettings({
        assignment,
        batchSize: spec.batchSize,
        stepCount,
        parameters: spec.parameters,
        seed: spec.seed,
      }),
      sync: spec.sync,
      layout,
      perTensor: pairs[0]!.tensor !== undefined,
      seed: spec.seed,
      callTimeoutMs: spec.codecTimeoutMs,
    });
  let measured = await measure(Math.min(globals.stepCount, MIN_TRIAL_STEPS));
  const triedSteps = trialSteps(globals.stepCount, parameterCount * spec.nodeCount, measured);
  if (triedSteps > measured.steps) measured = await measure(triedSteps);
  const sum = (of: (link: TrafficMeasurement["links"][number]) => number): number =>
    measured.links.reduce((total, link) => total + of(link), 0);
  const messages = sum(({ messages: count }) => count);
  return {
    codec: spec.codec,
    serverCodec: spec.serverCodec,
    sync: spec.sync,
    parameters: parameterCount,
    steps: globals.stepCount,
    triedSteps,
    stepsWithMessages: measured.stepsWithMessages,
    bytesPerStep: sum(({ bytes }) => bytes) / triedSteps,
    messagesPerStep: messages / triedSteps,
    denseBytesPerStep: measured.denseBytes / triedSteps,
    links: measured.links.map(({ from, to, bytes }) => ({
      from: nodeName(from),
      to: nodeName(to),
      bytesPerStep: bytes / triedSteps,
    })),
    longestChain: measured.longestChain,
    communicationMsPerStep: communicationMs(measured, network),
    packages: Object.fromEntries(
      Object.entries(packages).map(([name, bytes]) => [name, bytes.length]),
    ),
    memory: memoryOf(spec, measured, parameterCount, packages.data_sample_package.length),
    blocks: assignment.nodeToBlocks,
    waits: waitsOf(spec, measured),
  };
}

/** As many as there is time for, judged by the first: rounds that are some steps long must show. */
function trialSteps(
  stepCount: number,
  valuesComputed: number,
  { steps, links }: TrafficMeasurement,
): number {
  const bytes = links.reduce((sum, link) => sum + link.bytes, 0);
  const messages = links.reduce((sum, link) => sum + link.messages, 0);
  const affordable = Math.min(
    TRIAL_VALUES / valuesComputed,
    (TRIAL_VALUES * 4 * steps) / bytes,
    (TRIAL_MESSAGES * steps) / messages,
    MAX_TRIAL_STEPS,
  );
  return Math.min(stepCount, Math.max(MIN_TRIAL_STEPS, Math.floor(affordable)));
}

/** The busiest node's bytes, in or out, over its connection; and a way through the network for each link of the chain. */
function communicationMs(
  { links, steps, stepsWithMessages, longestChain }: TrafficMeasurement,
  { bytesPerSec, latencyMs }: { readonly bytesPerSec: number; readonly latencyMs: number },
): number {
  const out = new Map<number, number>();
  const into = new Map<number, number>();
  for (const { from, to, bytes } of links) {
    out.set(from, (out.get(from) ?? 0) + bytes);
    into.set(to, (into.get(to) ?? 0) + bytes);
  }
  const busiest = Math.max(0, ...out.values(), ...into.values()) / steps;
  return (1000 * busiest) / bytesPerSec + (latencyMs * longestChain * stepsWithMessages) / steps;
}

function memoryOf(
  spec: JobSpec,
  { stateBytes }: TrafficMeasurement,
  size: number,
  dataBytes: number,
): NodeMemory[] {
  const descent = GRADIENT_DESCENTS[spec.gradientDescent].create(size, spec.learningRate);
  const optimizerBytes = pack(descent.exportState()).length;
  return [...stateBytes].map(([node, codecBytes]) => ({
    node: nodeName(node),
    modelBytes: node < 0 ? 4 * size : COPIES_OF_MODEL * 4 * size,
    optimizerBytes: node < 0 ? 0 : optimizerBytes,
    codecBytes,
    dataBytes: node < 0 ? 0 : dataBytes,
  }));
}

/** Who cannot go on without whom. */
function waitsOf(spec: JobSpec, { hears, longestChain }: TrafficMeasurement): string[] {
  const counts = [...hears.values()].map((nodes) => nodes.length);
  const most = Math.max(0, ...counts);
  if (most === 0) return ["Nobody hears from anybody: no node waits."];
  const server = [...hears.values()].some((nodes) => nodes.some((node) => node < 0));
  const lines = [
    `A node hears from ${most === Math.min(...counts) ? most : `${Math.min(...counts)} to ${most}`} other${most === 1 ? "" : "s"}${server ? ", the parameter server among them" : ""}; in a step up to ${longestChain} messages wait for one another.`,
  ];
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

/** Links that are listed; the others are like these or less. */
const LISTED_LINKS = 6;

/** A dry run as tables for people. */
export function dryRunReport(run: DryRun): string {
  const perStep = `${bytesText(run.bytesPerStep)} in ${run.messagesPerStep.toFixed(1)} messages`;
  const dense =
    run.denseBytesPerStep === 0
      ? ""
      : `, ${((100 * run.bytesPerStep) / run.denseBytesPerStep).toPrecision(3)} % of fp32`;
  const facts = table(
    ["WHAT", "HOW MUCH"],
    [
      ["parameters", String(run.parameters)],
      [
        "steps",
        `${run.steps} per node, ${run.triedSteps} tried, ${run.stepsWithMessages} of them with messages`,
      ],
      ["sent per step, over all nodes", `${perStep}${dense}`],
      ["sent in the whole job", `about ${bytesText(run.bytesPerStep * run.steps)}`],
      ["time of communication per step", `about ${run.communicationMsPerStep.toFixed(2)} ms`],
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
        .map(({ from, to, bytesPerStep }) => [`${from} to ${to}`, bytesText(bytesPerStep)]),
      ...(rest > 0 ? [[`${rest} more`, "no more each"]] : []),
    ],
  );
  const nodes = table(
    ["NODE", "BLOCKS", "MODEL", "OPTIMIZER", "CODEC", "DATA"],
    run.memory.map(({ node, modelBytes, optimizerBytes, codecBytes, dataBytes }, index) => [
      node,
      run.blocks[index]?.join(" ") ?? "",
      ...[modelBytes, optimizerBytes, codecBytes, dataBytes].map(bytesText),
    ]),
  );
  return `${facts}\n${links}\n${nodes}\n${run.waits.join("\n")}\n`;
}

const UNITS = { kbit: 1e3, mbit: 1e6, gbit: 1e9 } as const;

/** `1Gbit`, `100Mbit`, `56kbit` as bytes per second; `undefined` if it is none. */
export function bandwidthOf(text: string): number | undefined {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([kmg]bit)(?:\/s)?$/i.exec(text.trim()) ?? [];
  if (amount === undefined || unit === undefined || Number(amount) === 0) return undefined;
  return (Number(amount) * UNITS[unit.toLowerCase() as keyof typeof UNITS]) / 8;
}

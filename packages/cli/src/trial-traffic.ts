import type { NodeId } from "@psgd/core";
import type { SentMessage } from "@psgd/harness";

/** What the messages of a trial say about a whole job: sums over all its steps. */
export interface TrialTraffic {
  /** Steps of the trial in which codecs sent anything. */
  readonly stepsWithMessages: number;
  /** How many steps of the trial, whole periods of it, stand for those that were not tried; 0 if all were. */
  readonly stepsRepeated: number;
  /** The busiest first. */
  readonly links: readonly {
    readonly from: NodeId;
    readonly to: NodeId;
    readonly messages: number;
    readonly bytes: number;
  }[];
  /** Messages that wait for one another in a step, the longest chain of them. */
  readonly longestChain: number;
  /** Messages of the longest chains of all steps. */
  readonly stages: number;
  /** In each stage, what the node sends or receives that has most to carry. */
  readonly busiestBytes: number;
}

/** A trial of a job. */
interface Trial {
  /** Its first steps, which were tried. */
  readonly steps: number;
  /** Of the job. */
  readonly stepCount: number;
  /** From this step on it repeats itself. */
  readonly settledAt: number;
}

/** A message, and how often the job sends one like it. */
type Weighed = SentMessage & { readonly weight: number };

/** Reckons the traffic of a job from the messages of its first steps. */
export function trialTraffic(messages: readonly SentMessage[], trial: Trial): TrialTraffic {
  const active = [...new Set(messages.filter(isOfCodec).map(({ step }) => step))];
  active.sort((a, b) => a - b);
  const [after, upTo] = repeatedSteps(active, trial);
  const stepsRepeated = upTo - after;
  const weight = (trial.stepCount - 1 - after) / stepsRepeated;
  const weighed = messages
    .filter(({ step }) => step <= upTo)
    .map((message) => ({ ...message, weight: message.step > after ? weight : 1 }));
  return {
    stepsWithMessages: active.length,
    stepsRepeated,
    links: linksOf(weighed),
    ...stagesOf(weighed.filter(isOfCodec)),
  };
}

/**
 * The steps after the first number and up to the second are whole periods: after an exchange of those that repeat themselves, if
 * there are two, up to the last one.
 */
function repeatedSteps(
  active: readonly number[],
  { steps, stepCount, settledAt }: Trial,
): readonly [after: number, upTo: number] {
  const last = active.at(-1);
  if (steps === stepCount) return [steps - 1, steps - 1];
  if (last === undefined) return [-1, steps - 1];
  const earlier = active.filter((step) => step < last);
  return [earlier.find((step) => step >= settledAt) ?? earlier[0] ?? -1, last];
}

/** Clocks are of none: they come in each step, and nobody waits for the newest. */
function isOfCodec({ variableId }: SentMessage): boolean {
  return variableId >= 0;
}

function linksOf(messages: readonly Weighed[]): TrialTraffic["links"] {
  const links = new Map<string, { from: NodeId; to: NodeId; messages: number; bytes: number }>();
  for (const { from, to, bytes, weight } of messages) {
    const link = links.get(`${from}>${to}`) ?? { from, to, messages: 0, bytes: 0 };
    links.set(`${from}>${to}`, link);
    link.messages += weight;
    link.bytes += weight * bytes;
  }
  return [...links.values()].sort((a, b) => b.bytes - a.bytes || a.from - b.from || a.to - b.to);
}

/** Messages of a step that wait for equally many others are a stage: they travel at once, the stages one after another. */
function stagesOf(
  messages: readonly Weighed[],
): Pick<TrialTraffic, "longestChain" | "stages" | "busiestBytes"> {
  const stages = new Map<string, { readonly weight: number; readonly ends: Map<string, number> }>();
  let longestChain = 0;
  for (const { from, to, step, depth, bytes, weight } of messages) {
    const stage = stages.get(`${step}/${depth}`) ?? { weight, ends: new Map<string, number>() };
    stages.set(`${step}/${depth}`, stage);
    for (const end of [`out of ${from}`, `into ${to}`])
      stage.ends.set(end, (stage.ends.get(end) ?? 0) + bytes);
    longestChain = Math.max(longestChain, depth);
  }
  const all = [...stages.values()];
  return {
    longestChain,
    stages: all.reduce((sum, { weight }) => sum + weight, 0),
    busiestBytes: all.reduce(
      (sum, { weight, ends }) => sum + weight * Math.max(...ends.values()),
      0,
    ),
  };
}

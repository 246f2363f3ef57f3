import type { NodeId } from "@psgd/core";
import type { SentMessage } from "@psgd/harness";

/** What the messages of a trial say about each step of a job: sums over `stepsCounted` steps. */
export interface TrialTraffic {
  /** Steps of the trial in which codecs sent anything. */
  readonly stepsWithMessages: number;
  /**
   * How many steps the sums are over, whole periods: all, if the whole job was tried; else those after the first step with
   * messages up to the last such; if there is but one, those up to it.
   */
  readonly stepsCounted: number;
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

/** Reckons the traffic of the first `steps` steps of a job from their messages. */
export function trialTraffic(
  messages: readonly SentMessage[],
  { steps, stepCount }: { readonly steps: number; readonly stepCount: number },
): TrialTraffic {
  const active = [...new Set(messages.filter(isOfCodec).map(({ step }) => step))];
  const last = Math.max(...active);
  const isWhole = steps === stepCount || active.length === 0;
  const upTo = isWhole ? steps - 1 : last;
  const after = isWhole || active.length === 1 ? -1 : Math.min(...active);
  const counted = messages.filter(({ step }) => step > after && step <= upTo);
  return {
    stepsWithMessages: active.length,
    stepsCounted: upTo - after,
    links: linksOf(counted),
    ...stagesOf(counted.filter(isOfCodec)),
  };
}

/** Clocks are of none: they come in each step, and nobody waits for the newest. */
function isOfCodec({ variableId }: SentMessage): boolean {
  return variableId >= 0;
}

function linksOf(messages: readonly SentMessage[]): TrialTraffic["links"] {
  const links = new Map<string, { from: NodeId; to: NodeId; messages: number; bytes: number }>();
  for (const { from, to, bytes } of messages) {
    const link = links.get(`${from}>${to}`) ?? { from, to, messages: 0, bytes: 0 };
    links.set(`${from}>${to}`, link);
    link.messages++;
    link.bytes += bytes;
  }
  return [...links.values()].sort((a, b) => b.bytes - a.bytes || a.from - b.from || a.to - b.to);
}

/** Messages of a step that wait for equally many others are a stage: they travel at once, the stages one after another. */
function stagesOf(
  messages: readonly SentMessage[],
): Pick<TrialTraffic, "longestChain" | "stages" | "busiestBytes"> {
  const stages = new Map<string, Map<string, number>>();
  let longestChain = 0;
  for (const { from, to, step, depth, bytes } of messages) {
    const stage = stages.get(`${step}/${depth}`) ?? new Map<string, number>();
    stages.set(`${step}/${depth}`, stage);
    for (const end of [`out of ${from}`, `into ${to}`])
      stage.set(end, (stage.get(end) ?? 0) + bytes);
    longestChain = Math.max(longestChain, depth);
  }
  const busiest = [...stages.values()].map((ends) => Math.max(...ends.values()));
  return {
    longestChain,
    stages: stages.size,
    busiestBytes: busiest.reduce((sum, bytes) => sum + bytes, 0),
  };
}

import { isPsgdError, nodeName, type NodeId, type PsgdError } from "@psgd/core";
import { CodecLab, type Observation } from "./codec-lab.js";
import { inEveryOrder } from "./every-order.js";
import type { Finding } from "./finding.js";
import { numbered, shortestFailure } from "./shortest-failure.js";
import { apart, maxUlpDistance } from "./vector-distance.js";

const ROUNDS = 6;
const SCHEDULES = 12;
/** Of the small job whose orders are tried systematically. */
const SMALL_ROUNDS = 2;
const MOST_ORDERS = 120;

/** What the runs have shown that other checks build on. */
export interface RunFacts {
  readonly findings: readonly Finding[];
  /** Whether each step ends in a result: without, there is nothing else to examine. */
  readonly hasResults: boolean;
  /** Whether all nodes had the same result in every round of every schedule. */
  readonly agreesAlways: boolean;
}

/** Runs a codec in several orders of events: does it come to its results, and to the same ones? */
export async function examineRuns(lab: CodecLab): Promise<RunFacts> {
  const { nodeCount, sync, seed } = lab.subject;
  const runs: Observation[] = [];
  for (let schedule = 0; schedule < SCHEDULES; schedule++) {
    try {
      runs.push(await lab.run({ rounds: ROUNDS, schedule }));
    } catch (error) {
      if (!isPsgdError(error)) throw error;
      return failed(lab, error, `fails in order ${schedule + 1} of ${SCHEDULES}`);
    }
  }
  const small = await exploreSmallJob(lab);
  if (small.error !== undefined) {
    const number = `fails in order ${small.orderCount} of two nodes and ${SMALL_ROUNDS} steps`;
    return failed(lab, small.error, number);
  }
  const count = SCHEDULES * ROUNDS * nodeCount;
  const again = await lab.run({ rounds: ROUNDS });
  const repeats = repeatsOf(runs[0]!, again, seed);
  const order = orderOf(runs, small, seed, sync === "ssgd");
  return {
    findings: [
      {
        ...{ check: "results", verdict: "ok", seed, story: undefined },
        number: `${count} of ${count}`,
        text: `${nodeCount} nodes, ${ROUNDS} steps, ${SCHEDULES} orders of events`,
      },
      agreementOf(runs[0]!, seed, sync === "ssgd"),
      repeats,
      // No order is to blame where the same one differs from itself.
      repeats.verdict === "ok"
        ? order
        : {
            ...order,
            story: undefined,
            text: "see `repeats`: the same order gives another model, too",
          },
    ],
    hasResults: true,
    agreesAlways: runs.every(agreesEachRound),
  };
}

async function failed({ subject }: CodecLab, error: PsgdError, number: string): Promise<RunFacts> {
  const most = { nodeCount: subject.nodeCount, rounds: ROUNDS };
  // A call that does not settle takes its real time in each run, and the error names it.
  const story =
    error.code === "CODEC_TIMEOUT" ? undefined : await shortestFailure(subject, error.code, most);
  const finding = { verdict: "wrong", number, seed: subject.seed, story } as const;
  return {
    findings: [{ ...finding, check: "results", text: error.message }],
    hasResults: false,
    agreesAlways: false,
  };
}

function agreementOf({ models }: Observation, seed: number, isSynchronous: boolean): Finding {
  const [[first, model], ...others] = [...models] as [
    [NodeId, Float32Array],
    ...[NodeId, Float32Array][],
  ];
  const ulps = others.map(([, other]) => maxUlpDistance(model, other));
  const most = Math.max(0, ...ulps);
  const other = others[ulps.indexOf(most)]?.[0];
  return {
    ...{ check: "agreement", seed, story: undefined },
    verdict: most === 0 ? "ok" : isSynchronous ? "wrong" : "note",
    number: apart(most),
    text:
      most === 0
        ? "the same bits on every node after the last step"
        : `${nodeName(first)} and ${nodeName(other!)} end with different models; sum in the order of ids (\`meanOf\`), and let each step or the job's last end in an exchange`,
  };
}

function repeatsOf(a: Observation, b: Observation, seed: number): Finding {
  const most = distanceOf(a, b);
  return {
    ...{ check: "repeats", seed, story: undefined },
    verdict: most === 0 ? "ok" : "wrong",
    number: apart(most),
    text:
      most === 0
        ? "two runs, every bit the same"
        : "two equal runs differ: draw from `this.random` only, and keep nothing in static fields or modules",
  };
}

/** What the orders of a job of two nodes show. */
interface Exploration {
  readonly orderCount: number;
  /** Whether these are all there are. */
  readonly isComplete: boolean;
  /** Between the models of any two orders, in float32 steps. */
  readonly apart: number;
  /** What the codec failed with in the last of them. */
  readonly error: PsgdError | undefined;
  /** What happens in the first order that gives another model than the one before. */
  readonly differing: readonly string[] | undefined;
}

/** Lets a job of two nodes happen in one order after the other, systematically, as far as there is time. */
async function exploreSmallJob({ subject }: CodecLab): Promise<Exploration> {
  let first: Observation | undefined;
  let apart = 0;
  let error: PsgdError | undefined;
  let differing: readonly string[] | undefined;
  let lab: CodecLab;
  try {
    lab = new CodecLab({ ...subject, nodeCount: 2, redundancy: 1 });
  } catch (cause) {
    if (!isPsgdError(cause)) throw cause;
    return { orderCount: 0, isComplete: false, apart, error, differing };
  }
  const { orderCount, isComplete } = await inEveryOrder(MOST_ORDERS, async (choose) => {
    try {
      let events: readonly string[] = [];
      const onEnd = (all: readonly string[]): void => void (events = all);
      const run = await lab.run({ rounds: SMALL_ROUNDS, choose, onEnd });
      first ??= run;
      apart = Math.max(apart, distanceOf(first, run));
      if (apart > 0) differing ??= events;
    } catch (cause) {
      if (!isPsgdError(cause)) throw cause;
      // A codec may need more nodes than two; with more, it has shown that it comes to its results.
      if (first !== undefined) error = cause;
      return false;
    }
    return true;
  });
  return { orderCount: first === undefined ? 0 : orderCount, isComplete, apart, error, differing };
}

function orderOf(
  runs: readonly Observation[],
  small: Exploration,
  seed: number,
  isSynchronous: boolean,
): Finding {
  const distances = runs.map((run) => distanceOf(runs[0]!, run));
  const most = Math.max(small.apart, ...distances);
  const ofTwo = `${small.isComplete ? "all" : "the first"} ${small.orderCount} of two nodes`;
  const explored = `${runs.length} orders drawn, and ${small.orderCount === 0 ? "none of two nodes, which it refuses" : ofTwo}`;
  const story =
    isSynchronous && small.differing !== undefined ? numbered(small.differing) : undefined;
  return {
    ...{ check: "order", seed, story },
    verdict: most === 0 ? "ok" : isSynchronous ? "wrong" : "note",
    number: apart(most),
    text:
      most === 0
        ? `${explored}, every bit the same`
        : isSynchronous
          ? `${distances.includes(most) ? `order ${distances.indexOf(most) + 1}` : "another order of two nodes"} gives another model: sum in the order of ids, and keep the blocks of different steps apart`
          : "without steps in common models depend on what comes when",
  };
}

function distanceOf(a: Observation, b: Observation): number {
  return Math.max(
    0,
    ...[...a.models].map(([node, model]) => maxUlpDistance(model, b.models.get(node)!)),
  );
}

function agreesEachRound({ results }: Observation): boolean {
  const [first, ...others] = [...results.values()];
  return others.every((rounds) =>
    rounds.every((result, round) => maxUlpDistance(result, first![round]!) === 0),
  );
}

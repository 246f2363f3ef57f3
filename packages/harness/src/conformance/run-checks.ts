import { isPsgdError, nodeName, type NodeId } from "@psgd/core";
import type { CodecLab, Observation } from "./codec-lab.js";
import type { Finding } from "./finding.js";
import { apart, maxUlpDistance } from "./vector-distance.js";

const ROUNDS = 6;
const SCHEDULES = 12;

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
      const number = `fails in order ${schedule + 1} of ${SCHEDULES}`;
      const finding = { verdict: "wrong", number, seed, story: undefined } as const;
      return {
        findings: [{ ...finding, check: "results", text: error.message }],
        hasResults: false,
        agreesAlways: false,
      };
    }
  }
  const count = SCHEDULES * ROUNDS * nodeCount;
  const again = await lab.run({ rounds: ROUNDS });
  return {
    findings: [
      {
        ...{ check: "results", verdict: "ok", seed, story: undefined },
        number: `${count} of ${count}`,
        text: `${nodeCount} nodes, ${ROUNDS} steps, ${SCHEDULES} orders of events`,
      },
      agreementOf(runs[0]!, seed, sync === "ssgd"),
      repeatsOf(runs[0]!, again, seed),
      orderOf(runs, seed, sync === "ssgd"),
    ],
    hasResults: true,
    agreesAlways: runs.every(agreesEachRound),
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

function orderOf(runs: readonly Observation[], seed: number, isSynchronous: boolean): Finding {
  const distances = runs.map((run) => distanceOf(runs[0]!, run));
  const most = Math.max(...distances);
  return {
    ...{ check: "order", seed, story: undefined },
    verdict: most === 0 ? "ok" : isSynchronous ? "wrong" : "note",
    number: apart(most),
    text:
      most === 0
        ? `${runs.length} orders, every bit the same`
        : isSynchronous
          ? `order ${distances.indexOf(most) + 1} gives another model: sum in the order of ids, and keep the blocks of different steps apart`
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

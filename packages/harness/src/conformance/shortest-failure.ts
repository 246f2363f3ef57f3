import { isPsgdError } from "@psgd/core";
import { CodecLab, type LabSubject } from "./codec-lab.js";
import { inEveryOrder } from "./every-order.js";

/** Orders that are tried of each size; of two nodes systematically, of more drawn. */
const MOST_ORDERS = 60;

/**
 * Looks for the smallest job, and in it the shortest run, in which a codec fails with the same error code.
 * @returns what happens in it as a numbered list, and the error; `undefined` if smaller jobs do not fail so
 */
export async function shortestFailure(
  subject: LabSubject,
  code: string,
  most: { readonly nodeCount: number; readonly rounds: number },
): Promise<string | undefined> {
  for (let nodeCount = 2; nodeCount <= most.nodeCount; nodeCount++) {
    const redundancy = Math.min(subject.redundancy, nodeCount);
    let lab: CodecLab;
    try {
      lab = new CodecLab({ ...subject, nodeCount, redundancy });
    } catch (error) {
      if (!isPsgdError(error)) throw error;
      continue;
    }
    for (let rounds = 1; rounds <= most.rounds; rounds++) {
      const found = await shortestOf(lab, rounds, code);
      if (found !== undefined) return inWords(found, nodeCount, rounds);
    }
  }
  return undefined;
}

interface FailedRun {
  readonly events: readonly string[];
  readonly text: string;
}

async function shortestOf(
  lab: CodecLab,
  rounds: number,
  code: string,
): Promise<FailedRun | undefined> {
  let shortest: FailedRun | undefined;
  const attempt = async (order: {
    schedule?: number;
    choose?: (count: number) => number;
  }): Promise<void> => {
    let events: readonly string[] = [];
    try {
      await lab.run({ rounds, ...order, onEnd: (all) => (events = all) });
    } catch (error) {
      if (!isPsgdError(error)) throw error;
      const isShorter = shortest === undefined || events.length < shortest.events.length;
      if (error.code === code && isShorter) shortest = { events, text: error.message };
    }
  };
  if (lab.subject.nodeCount === 2) {
    await inEveryOrder(MOST_ORDERS, async (choose) => {
      await attempt({ choose });
      return true;
    });
  } else {
    for (let schedule = 0; schedule < MOST_ORDERS; schedule++) await attempt({ schedule });
  }
  return shortest;
}

function inWords({ events, text }: FailedRun, nodeCount: number, rounds: number): string {
  const size = `${nodeCount} nodes, ${rounds} step${rounds === 1 ? "" : "s"}`;
  return `${size}: ${text.split("; ")[0]!}\n${numbered(events)}`;
}

/** A list for people, from 1. */
export function numbered(lines: readonly string[]): string {
  return lines.map((line, index) => `${String(index + 1).padStart(5)}. ${line}`).join("\n");
}

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ASSIGNMENTS, isPsgdError } from "@psgd/core";
import { fp32BytesPerStep } from "@psgd/sgd";
import type { CodecLab } from "./codec-lab.js";
import type { Finding } from "./finding.js";
import { apart, maxUlpDistance } from "./vector-distance.js";
import { rebornEachStep, watchingArrays } from "./wrapped-codecs.js";

/** A new instance in every step, with what the old one exported, must end where the old one would have. */
export async function examineState(lab: CodecLab, isByChance: boolean): Promise<Finding> {
  const base = { check: "state", seed: lab.subject.seed, story: undefined } as const;
  const rounds = 8;
  try {
    const whole = await lab.run({ rounds });
    const reborn = await lab.run({ rounds, wrap: rebornEachStep });
    const most = Math.max(
      ...[...whole.models].map(([node, model]) => maxUlpDistance(model, reborn.models.get(node)!)),
    );
    const number = apart(most);
    if (most === 0)
      return { ...base, verdict: "ok", number, text: "born anew in each step, every bit the same" };
    // One that draws where it is constructed draws once more when it is born anew.
    const verdict = isByChance ? "note" : "wrong";
    return { ...base, verdict, number, text: "something that matters is not in `exportState`" };
  } catch (error) {
    if (!isPsgdError(error)) throw error;
    if (lab.subject.sync !== "ssgd" && error.code === "SYNC_TIMEOUT")
      return {
        ...{ ...base, verdict: "wrong", number: "waits for ever" },
        text: "born anew in each step it lacks messages that came ahead of theirs, as they do without steps in common: they are not in `exportState`",
      };
    return { ...base, verdict: "wrong", number: "fails", text: error.message };
  }
}

/**
 * Arrays that a codec changes. They are its own, so it may; but one that changes them in a later step keeps what it was
 * handed, and shows when its message is not copied any more.
 */
export async function examineInputs(lab: CodecLab): Promise<Finding> {
  const handed: { readonly array: Float32Array; readonly before: Float32Array; round: number }[] =
    [];
  let round = 0;
  let soonCount = 0;
  let lateCount = 0;
  /** Looks at what was handed over and not seen changed yet. */
  const look = (): void => {
    for (const [index, { array, before, round: since }] of [...handed.entries()].reverse()) {
      if (maxUlpDistance(array, before) === 0) continue;
      handed.splice(index, 1);
      if (since === round) soonCount++;
      else lateCount++;
    }
  };
  await lab.run({
    rounds: 12,
    wrap: (codec) =>
      watchingArrays(codec, (array) => void handed.push({ array, before: array.slice(), round })),
    delta: (place) => {
      look();
      round = Math.max(round, place.round);
      return lab.gaussian(24, place.round, place.blockId);
    },
  });
  look();
  const isLate = lateCount > 0;
  return {
    ...{ check: "inputs", seed: lab.subject.seed, story: undefined },
    verdict: isLate ? "note" : "ok",
    number: `${soonCount} changed at once, ${lateCount} later`,
    text: isLate
      ? "it computes in arrays of earlier steps: right only as long as nobody else holds them"
      : soonCount > 0
        ? "it computes in the arrays it is handed, which are its own"
        : "it changes none of the arrays it is handed",
  };
}

/** Arrays handed to the codec in earlier steps that it still holds. */
export async function examineMemory(lab: CodecLab): Promise<Finding> {
  const collectGarbage = garbageCollector();
  const arrays: { readonly round: number; readonly ref: WeakRef<Float32Array> }[] = [];
  const counts: number[] = [];
  let round = 0;
  const countHeld = (): void => {
    collectGarbage();
    counts.push(
      arrays.filter(({ round: of, ref }) => of < round - 3 && ref.deref() !== undefined).length,
    );
  };
  await lab.run({
    rounds: 61,
    wrap: (codec) =>
      watchingArrays(codec, (array) => void arrays.push({ round, ref: new WeakRef(array) })),
    delta: (place) => {
      if (place.round > round) {
        ({ round } = place);
        if (round === 20 || round === 60) countHeld();
      }
      return lab.gaussian(24, place.round, place.blockId);
    },
  });
  const [early, late] = counts as [number, number];
  const isGrowing = late > early + 20;
  return {
    ...{ check: "memory", seed: lab.subject.seed, story: undefined },
    verdict: isGrowing ? "wrong" : "ok",
    number: `${early} held after 20 steps, ${late} after 60`,
    text: isGrowing
      ? "what it keeps grows with every step: clear what a step has used"
      : "no more with every step",
  };
}

/** Against every node sending its blocks in full to all others, or to the server and back. */
export async function examineBytes(lab: CodecLab): Promise<Finding> {
  const size = 2500;
  const rounds = 10;
  const { messageBytes } = await lab.run({ rounds, size });
  const dense = fp32BytesPerStep(size, ASSIGNMENTS.iid(lab.subject), lab.server !== undefined);
  const perStep = messageBytes / rounds;
  return {
    ...{ check: "bytes", seed: lab.subject.seed, story: undefined },
    verdict: "ok",
    number:
      dense === 0 ? "nobody to send to" : `${((100 * perStep) / dense).toPrecision(3)} % of dense`,
    text: `${Math.round(perStep)} bytes per step over the whole cluster; dense are ${dense}, with ${size} values`,
  };
}

function garbageCollector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}

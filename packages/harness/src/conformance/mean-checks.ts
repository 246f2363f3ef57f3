import type { CodecLab } from "./codec-lab.js";
import type { Finding } from "./finding.js";
import { distance, lengthOf, relativeDistance } from "./vector-distance.js";

/** Rounding of sums in single precision, relative. */
const EXACT = 1e-5;

const TRIALS = 48;

/** How near the model's way comes to the mean: at once, on average, and in the long run. */
export async function examineMean(lab: CodecLab): Promise<Finding[]> {
  const error = await errorAfter(lab, 8);
  const once = await errorOfOneExchange(lab);
  const chance = await examineBias(lab);
  const isExact = error <= EXACT;
  const isLossy = error < 1 || chance.isUnbiased;
  const base = { seed: lab.subject.seed, story: undefined };
  const { scale, isFactor } = await scaleOf(lab);
  return [
    {
      ...{ ...base, check: "mean" },
      verdict: isExact ? "ok" : isLossy ? "note" : "wrong",
      number: `${percent(error)} off`,
      text: isExact
        ? "exact but for rounding, over 8 steps"
        : isFactor
          ? `the model moves exactly ${scale.toFixed(2)} times as far as the mean: look at what sums are divided by`
          : isLossy
            ? `lossy; along the mean the model moves ${scale.toFixed(2)} times as far`
            : `no nearer to the mean than standing still; along it the model moves ${scale.toFixed(2)} times as far: look for blocks left out, counted twice, or of another step`,
    },
    chance.finding,
    {
      ...{ ...base, check: "contraction" },
      verdict: once < 1 ? "ok" : chance.isUnbiased ? "note" : "wrong",
      number: once <= EXACT ? "δ = 1" : `δ = ${(1 - once).toFixed(3)}`,
      text:
        once < 1
          ? `‖result − mean‖² is ${percent(once)} of ‖mean‖² after one exchange`
          : `‖result − mean‖² is ${once.toFixed(2)} times ‖mean‖²: ${chance.isUnbiased ? "unbiased, so a smaller learning rate makes up for it" : "error feedback does not converge with this"}`,
    },
    await examineFeedback(lab, { isUnbiased: chance.isUnbiased, isExact, isFactor }),
  ];
}

async function errorAfter(lab: CodecLab, rounds: number): Promise<number> {
  const { moved } = await lab.run({ rounds });
  const sum = lab.sumOfMeans(rounds, (round, block) => lab.gaussian(24, round, block));
  return Math.max(...[...moved.values()].map((each) => relativeDistance(each, sum)));
}

/** How far the model moves along the mean, in lengths of the mean, and whether it moves nowhere else. */
async function scaleOf(lab: CodecLab): Promise<{ scale: number; isFactor: boolean }> {
  const { moved } = await lab.run({ rounds: 8 });
  const sum = lab.sumOfMeans(8, (round, block) => lab.gaussian(24, round, block));
  const [first] = [...moved.values()];
  const scale = first!.reduce((dot, value, i) => dot + value * sum[i]!, 0) / lengthOf(sum) ** 2;
  const along = sum.map((value) => scale * value);
  return { scale, isFactor: scale > EXACT && relativeDistance(first!, along) <= EXACT };
}

async function errorOfOneExchange(lab: CodecLab): Promise<number> {
  let total = 0;
  const trials = 12;
  for (let trial = 0; trial < trials; trial++) {
    const input = (block: number): Float32Array => lab.gaussian(24, 1000 + trial, block);
    const { moved } = await lab.run({ rounds: 1, delta: ({ blockId }) => input(blockId) });
    const mean = lab.sumOfMeans(1, (_, block) => input(block));
    const errors = [...moved.values()].map((each) => relativeDistance(each, mean) ** 2);
    total += errors.reduce((sum, each) => sum + each, 0) / errors.length;
  }
  return total / trials;
}

/** The same inputs again and again, with other draws of the codec. */
async function examineBias(lab: CodecLab): Promise<{ finding: Finding; isUnbiased: boolean }> {
  const size = 24;
  const mean = lab.sumOfMeans(1, (_, block) => lab.gaussian(size, 0, block));
  const sum = new Float64Array(size);
  const squares = new Float64Array(size);
  for (let trial = 0; trial < TRIALS; trial++) {
    const { moved } = await lab.run({ rounds: 1, codecSeed: 10_000 + trial });
    const [first] = [...moved.values()];
    for (let i = 0; i < size; i++) {
      sum[i]! += first![i]! - mean[i]!;
      squares[i]! += (first![i]! - mean[i]!) ** 2;
    }
  }
  const offsets = sum.map((value) => value / TRIALS);
  const variances = offsets.map((offset, i) =>
    Math.max(0, (squares[i]! / TRIALS - offset ** 2) * (TRIALS / (TRIALS - 1))),
  );
  const bias = lengthOf(offsets) / lengthOf(mean);
  const spread = Math.sqrt(variances.reduce((total, value) => total + value, 0)) / lengthOf(mean);
  // 95 % of what chance alone would do.
  const margin = (1.96 * spread) / Math.sqrt(TRIALS);
  const base = { check: "bias", seed: lab.subject.seed, story: undefined } as const;
  if (spread < EXACT) {
    const isUnbiased = bias < EXACT;
    const text = isUnbiased
      ? "exact: nothing is left to chance"
      : "not by chance: always the same part is left out";
    const number = `bias ${percent(bias)}`;
    return { finding: { ...base, verdict: isUnbiased ? "ok" : "note", number, text }, isUnbiased };
  }
  const isUnbiased = bias < 1.5 * margin;
  return {
    isUnbiased,
    finding: {
      ...base,
      verdict: isUnbiased ? "ok" : "note",
      number: `bias ${percent(bias)} ± ${percent(margin)}`,
      text: isUnbiased
        ? `unbiased, as far as ${TRIALS} trials tell; spread ${percent(spread)} of the mean`
        : `biased: more than chance explains in ${TRIALS} trials; error feedback would make up for it`,
    },
  };
}

/** The same inputs in every round: what is left out must not pile up. */
async function examineFeedback(
  lab: CodecLab,
  known: { readonly isUnbiased: boolean; readonly isExact: boolean; readonly isFactor: boolean },
): Promise<Finding> {
  const { isUnbiased, isExact, isFactor } = known;
  const leftOut = async (rounds: number): Promise<number> => {
    const input = (block: number): Float32Array => lab.gaussian(24, 0, block);
    const { moved } = await lab.run({ rounds, delta: ({ blockId }) => input(blockId) });
    const sum = lab.sumOfMeans(rounds, (_, block) => input(block));
    const one = lengthOf(sum) / rounds;
    return Math.max(...[...moved.values()].map((each) => distance(each, sum) / one));
  };
  const base = { check: "feedback", seed: lab.subject.seed, story: undefined } as const;
  const [early, late] = [await leftOut(20), await leftOut(80)];
  const number = `${late.toFixed(2)} steps' worth left out of 80`;
  if (isExact || late < 80 * EXACT)
    return { ...base, verdict: "ok", number, text: "nothing is left out" };
  // Four times the steps: nothing more where it comes later, twice as much by chance, four times where it is lost.
  const growth = late / Math.max(early, 1e-9);
  if (growth < 1.5)
    return {
      ...base,
      verdict: "ok",
      number,
      text: "what is left out comes later: it does not pile up",
    };
  if (growth < 3 && isUnbiased)
    return {
      ...base,
      verdict: "ok",
      number,
      text: "chance only, which cancels out with the root of the steps",
    };
  const part = late / 80;
  return {
    ...base,
    verdict: part >= 1 ? "wrong" : "note",
    number,
    text: isFactor
      ? `each step is ${percent(part)} off, always by the same factor: see \`mean\``
      : `${percent(part)} of every step is lost for good: keep what was not sent, and add it to the next block`,
  };
}

function percent(part: number): string {
  return part < 1e-4 ? `${(100 * part).toExponential(0)} %` : `${(100 * part).toPrecision(3)} %`;
}

import { permutation, seededRandom, type Random } from "@psgd/core";
import { createDataset } from "../create-dataset.js";
import type { Dataset, Samples } from "../dataset.js";
import type { DatasetSource } from "./source.js";

const LETTERS = 27;
const LENGTH = 20;
const TRAIN_COUNT = 8_192;
const TEST_COUNT = 2_048;

/** Of the letters that may follow a pair of letters, the first does so half of the time, the others a quarter each. */
const FOLLOWERS = 3;

/** What the data was made from. */
export interface MarkovTruth {
  /** By the last two letters `27 * a + b`: the letters that may follow, the likeliest first. */
  readonly followers: readonly Uint8Array[];
}

/**
 * Text of a Markov chain of second order: what comes next depends on the last two letters. The best that can be done is
 * to say the likeliest follower, right half of the time; one who sees the last letter alone is right less often.
 */
export const markov: DatasetSource = {
  description:
    "synthetic text of a Markov chain from a seed: 8,192 + 2,048 pieces of 20 letters, the next of 27 to be told",
  load: async ({ seed = 0 }) => generateMarkov(seed).dataset,
};

export function generateMarkov(
  seed: number | string,
  trainCount = TRAIN_COUNT,
  testCount = TEST_COUNT,
): { dataset: Dataset; truth: MarkovTruth } {
  const random = seededRandom(seed).fork("markov");
  const ofPairs = random.fork("followers");
  const followers = Array.from({ length: LETTERS * LETTERS }, () =>
    Uint8Array.from(permutation(LETTERS, ofPairs).subarray(0, FOLLOWERS)),
  );
  const dataset = createDataset({
    name: "markov",
    task: "classification",
    inputShape: [LENGTH],
    outputSize: LETTERS,
    train: pieces(trainCount, followers, random.fork("train")),
    test: pieces(testCount, followers, random.fork("test")),
    synthetic: true,
  });
  return { dataset, truth: { followers } };
}

/** Letters as numbers, in floats: a byte would be taken for the brightness of a pixel. */
function pieces(count: number, followers: readonly Uint8Array[], random: Random): Samples {
  const inputs = new Float32Array(count * LENGTH);
  const targets = new Uint8Array(count);
  for (let row = 0; row < count; row++) {
    let [before, last] = [random.uint32() % LETTERS, random.uint32() % LETTERS];
    for (let at = 0; at < LENGTH; at++) {
      inputs[row * LENGTH + at] = last;
      const next = followers[LETTERS * before + last]![pick(random)]!;
      [before, last] = [last, next];
    }
    targets[row] = last;
  }
  return { count, inputs, targets };
}

/** 0 half of the time, 1 and 2 a quarter each. */
function pick(random: Random): number {
  return [0, 0, 1, 2][random.uint32() % 4]!;
}

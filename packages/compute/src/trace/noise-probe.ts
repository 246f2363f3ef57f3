import type { BackendValues } from "@tensorflow/tfjs";
import type { PlanNoise } from "@psgd/core";
import type { TensorFlow } from "../tensorflow.js";

type Noise = Omit<PlanNoise, "value">;

/** The number that `Math.random` gave last during a trace. */
let last = 0;

/**
 * Runs something with a `Math.random` that goes through the unit interval from a start, always the same way. Not one
 * number for ever: a program may draw until it gets a larger one.
 */
export function withKnownRandom<T>(start: number, run: () => T): T {
  let next = start;
  return withRandom(() => {
    last = next;
    next = (next + GOLDEN_SECTION) % 1;
    return last;
  }, run);
}

/** Its multiples, modulo 1, leave no gap for long. */
const GOLDEN_SECTION = (Math.sqrt(5) - 1) / 2;

function withRandom<T>(random: () => number, run: () => T): T {
  const original = Math.random;
  Math.random = random;
  try {
    return run();
  } finally {
    Math.random = original;
  }
}

/**
 * Finds out what a random operation drew: TensorFlow.js seeds a generator from `Math.random` at each draw, the same seed
 * draws the same standard numbers again, and the values are a linear function of these.
 */
export class NoiseProbe {
  readonly #tensorflow: TensorFlow;
  #isProbing = false;
  #drawn: BackendValues | undefined;

  constructor(tensorflow: TensorFlow) {
    this.#tensorflow = tensorflow;
  }

  /** Called when values are written; keeps those that this probe draws. @returns whether it was one of them */
  takes(values: BackendValues): boolean {
    if (!this.#isProbing) return false;
    this.#drawn = values;
    return true;
  }

  /** @returns undefined if the values are of no distribution that plans have */
  distributionOf(values: ArrayLike<number>): Noise | undefined {
    const shape: [number] = [values.length];
    const { randomUniform, randomNormal, truncatedNormal } = this.#tensorflow;
    return (
      fit(
        "uniform",
        this.#draw(() => randomUniform(shape)),
        values,
      ) ??
      fit(
        "normal",
        this.#draw(() => randomNormal(shape)),
        values,
      ) ??
      fit(
        "truncatedNormal",
        this.#draw(() => truncatedNormal(shape)),
        values,
      )
    );
  }

  #draw(run: () => { dispose(): void }): ArrayLike<number> {
    this.#isProbing = true;
    try {
      withRandom(
        () => last,
        () => run().dispose(),
      );
      return this.#drawn as ArrayLike<number>;
    } finally {
      this.#isProbing = false;
    }
  }
}

/** Offset and scale that turn standard draws into the values, if there are such. */
function fit(
  distribution: Noise["distribution"],
  standard: ArrayLike<number>,
  values: ArrayLike<number>,
): Noise | undefined {
  let [low, high] = [0, 0];
  for (let i = 1; i < standard.length; i++) {
    if (standard[i]! < standard[low]!) low = i;
    if (standard[i]! > standard[high]!) high = i;
  }
  // One value tells nothing but whether it is standard.
  const spread = standard[high]! - standard[low]!;
  const scale = low === high ? 1 : rounded((values[high]! - values[low]!) / spread);
  const offset = low === high ? 0 : rounded(values[low]! - scale * standard[low]!);
  const tolerance = 1e-5 * (Math.abs(offset) + Math.abs(scale));
  for (let i = 0; i < values.length; i++) {
    if (!(Math.abs(offset + scale * standard[i]! - values[i]!) <= tolerance)) return undefined;
  }
  return { distribution, offset, scale };
}

/** The number that was meant: values are single precision, so that 0.1 comes back as 0.10000000149. */
function rounded(value: number): number {
  return Math.abs(value) < 1e-6 ? 0 : Number(value.toPrecision(6));
}

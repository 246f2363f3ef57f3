import { generateDigits, type Samples } from "@psgd/data";
import type { CodecLab } from "./codec-lab.js";
import type { Finding } from "./finding.js";
import type { LabelledSamples } from "./softmax-regression.js";
import { trainingCurves } from "./training-curves.js";

const TRAIN_COUNT = 2000;
const TEST_COUNT = 500;
/** Two standard deviations of an accuracy of 90 % on so many samples: what is less apart is chance. */
const MARGIN = 0.027;

/** Trains on drawn digits, beside the same with the exact mean of all gradients. */
export async function examineDigits(lab: CodecLab): Promise<Finding> {
  const { train, test, inputShape, outputSize } = generateDigits(
    lab.subject.seed,
    TRAIN_COUNT,
    TEST_COUNT,
  );
  const [height, width] = inputShape as [number, number];
  const labelled = ({ inputs, targets }: Samples): LabelledSamples => ({
    inputSize: (height / 2) * (width / 2),
    classCount: outputSize,
    inputs: standardized(halved(inputs, width)),
    labels: Uint8Array.from(targets),
  });
  const curves = await trainingCurves(lab, { train: labelled(train), test: labelled(test) });
  const [own, exact] = [curves.codec.at(-1)!, curves.uncompressed.at(-1)!];
  const percent = (accuracy: number): string => `${(100 * accuracy).toFixed(1)} %`;
  const share = (own.bytes / exact.bytes).toPrecision(2);
  const lost = exact.accuracy - own.accuracy;
  const chance = 1 / outputSize;
  return {
    ...{ check: "digits", seed: lab.subject.seed, story: undefined, curves },
    verdict: lost < MARGIN ? "ok" : own.accuracy > chance + MARGIN ? "note" : "wrong",
    number: `${percent(own.accuracy)}, exact ${percent(exact.accuracy)}`,
    text:
      `accuracy on \`digits\` after ${own.step} steps` +
      (exact.bytes === 0 ? "" : ` with ${share} of the bytes`) +
      (lost < MARGIN
        ? ""
        : "; another learning rate, more steps or error feedback may close the gap"),
  };
}

/** Images of half the height and width, each pixel the mean of four: a quarter of the work. */
function halved(pixels: ArrayLike<number>, width: number): Float32Array {
  const half = new Float32Array(pixels.length / 4);
  for (let i = 0; i < half.length; i++) {
    const row = Math.floor((2 * i) / width);
    const corner = 2 * row * width + ((2 * i) % width);
    for (const offset of [0, 1, width, width + 1]) half[i]! += pixels[corner + offset]! / 4;
  }
  return half;
}

/** Mean 0 and variance 1 over all values, so that few steps lead far. */
function standardized(values: Float32Array): Float32Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return values.map((value) => (value - mean) / Math.sqrt(variance));
}

/** Samples with labels, rows one after the other. */
export interface LabelledSamples {
  readonly inputSize: number;
  readonly classCount: number;
  readonly inputs: Readonly<Float32Array>;
  readonly labels: Readonly<Uint8Array>;
}

/**
 * Gradient of the mean cross-entropy of some samples, by the weights: inputs × classes by rows, then a bias for each class.
 * Bishop 2006, eq. 4.109: the chances that the softmax gives, less one for the right class, times the input.
 */
export function softmaxGradient(
  samples: LabelledSamples,
  weights: Readonly<Float32Array>,
  rows: readonly number[],
): Float32Array {
  const { inputSize, classCount, inputs, labels } = samples;
  const gradient = new Float32Array(weights.length);
  for (const row of rows) {
    const errors = chancesOf(samples, weights, row);
    errors[labels[row]!]! -= 1;
    for (let i = 0; i <= inputSize; i++) {
      const x = (i === inputSize ? 1 : inputs[row * inputSize + i]!) / rows.length;
      if (x === 0) continue;
      for (let c = 0; c < classCount; c++) gradient[i * classCount + c]! += x * errors[c]!;
    }
  }
  return gradient;
}

/** Over all samples. */
export function softmaxScore(
  samples: LabelledSamples,
  weights: Readonly<Float32Array>,
): { readonly loss: number; readonly accuracy: number } {
  const { labels } = samples;
  let loss = 0;
  let correct = 0;
  for (let row = 0; row < labels.length; row++) {
    const chances = chancesOf(samples, weights, row);
    loss -= Math.log(Math.max(1e-12, chances[labels[row]!]!)) / labels.length;
    if (chances.indexOf(Math.max(...chances)) === labels[row]) correct++;
  }
  return { loss, accuracy: correct / labels.length };
}

function chancesOf(
  { inputSize, classCount, inputs }: LabelledSamples,
  weights: Readonly<Float32Array>,
  row: number,
): Float64Array {
  const scores = Float64Array.from(weights.subarray(inputSize * classCount));
  for (let i = 0; i < inputSize; i++) {
    const x = inputs[row * inputSize + i]!;
    if (x === 0) continue;
    for (let c = 0; c < classCount; c++) scores[c]! += x * weights[i * classCount + c]!;
  }
  const largest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

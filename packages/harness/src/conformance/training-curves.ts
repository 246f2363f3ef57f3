import {
  ASSIGNMENTS,
  SILENT,
  createSettings,
  layoutOf,
  nodeName,
  type GlobalSettings,
} from "@psgd/core";
import { fp32BytesPerStep } from "@psgd/sgd";
import { HarnessRun } from "../harness-run.js";
import type { CodecLab } from "./codec-lab.js";
import { softmaxGradient, softmaxScore, type LabelledSamples } from "./softmax-regression.js";

/** How training went, after every few steps. */
export interface CurvePoint {
  readonly step: number;
  /** Sent by all nodes so far. */
  readonly bytes: number;
  readonly loss: number;
  readonly accuracy: number;
}

/** A codec's training beside one that exchanges everything as it is. */
export interface TrainingCurves {
  readonly codec: readonly CurvePoint[];
  readonly uncompressed: readonly CurvePoint[];
  readonly links: readonly { readonly from: string; readonly to: string; readonly bytes: number }[];
  /** By tensor, as one codec for each would send it, in so many steps as `STEPS_BY_TENSOR` says. */
  readonly tensors: readonly { readonly name: string; readonly bytes: number }[];
  /** Messages by how many updates were between the sender's model and the receiver's. */
  readonly staleness: readonly (readonly [staleness: number, messages: number])[];
}

const STEPS = 120;
const BATCH = 32;
const LEARNING_RATE = 0.1;
const EVERY = 8;
/** Enough to see what each tensor costs, with a codec for each. */
export const STEPS_BY_TENSOR = 30;

/**
 * Trains softmax regression with a codec, and beside it with the mean of all gradients as it is: the same samples in the
 * same order, its bytes those of everything sent in fp32.
 * @throws {PsgdError} what the codec is guilty of
 */
export async function trainingCurves(
  { subject, server, rule }: CodecLab,
  { train, test }: { readonly train: LabelledSamples; readonly test: LabelledSamples },
): Promise<TrainingCurves> {
  const {
    codec: codecClass,
    nodeCount,
    redundancy,
    seed,
    sync,
    parameters,
    callTimeoutMs,
  } = subject;
  const assignment = ASSIGNMENTS.iid({ nodeCount, redundancy });
  const { blockCount } = assignment;
  const settingsFor = (stepCount: number): GlobalSettings =>
    createSettings({ assignment, batchSize: BATCH, stepCount, parameters, seed });
  const settings = settingsFor(STEPS);
  const layout = layoutOf([
    { name: "kernel", shape: [train.inputSize, train.classCount] },
    { name: "bias", shape: [train.classCount] },
  ]);
  const delta = (weights: Readonly<Float32Array>, round: number, block: number): Float32Array => {
    const first = (round * blockCount + block) * BATCH;
    const rows = Array.from({ length: BATCH }, (_, i) => (first + i) % train.labels.length);
    return softmaxGradient(train, weights, rows).map((value) => LEARNING_RATE * value);
  };
  const isShown = (round: number): boolean => round === 0 || (round + 1) % EVERY === 0;

  const codec: CurvePoint[] = [];
  const links = new Map<string, { from: string; to: string; bytes: number }>();
  const bytesOfTensor = layout.tensors.map(() => 0);
  let bytes = 0;
  const run = async (perTensor: boolean): Promise<HarnessRun> => {
    const harness = new HarnessRun(
      {
        ...{ codec: codecClass, server, rule },
        settings: perTensor ? settingsFor(STEPS_BY_TENSOR) : settings,
        ...{ sync, layout, perTensor, seed, agreement: "none" },
        ...{ tolerance: Infinity, callTimeoutMs },
        probe: {
          start: new Float32Array(layout.size),
          delta: ({ round, blockId, weights }) => delta(weights, round, blockId),
          onResult: (node, _result, weights, round) => {
            if (node === 0 && !perTensor && isShown(round))
              codec.push({ step: round + 1, bytes, ...softmaxScore(test, weights) });
          },
          onMessage: (message) => {
            if (perTensor) {
              bytesOfTensor[message.variableId]! += message.bytes;
              return;
            }
            bytes += message.bytes;
            const key = `${message.from}>${message.to}`;
            const [from, to] = [nodeName(message.from), nodeName(message.to)];
            const link = links.get(key) ?? { from, to, bytes: 0 };
            links.set(key, link);
            link.bytes += message.bytes;
          },
        },
      },
      0,
      SILENT,
    );
    await harness.complete();
    return harness;
  };
  const whole = await run(false);
  await run(true);

  const weights = new Float32Array(layout.size);
  const uncompressed: CurvePoint[] = [];
  const bytesPerStep = fp32BytesPerStep(layout.size, assignment, server !== undefined);
  for (let round = 0; round < STEPS; round++) {
    const deltas = settings.blocks.map((block) => delta(weights, round, block));
    for (let i = 0; i < weights.length; i++)
      weights[i]! -= deltas.reduce((sum, each) => sum + each[i]!, 0) / deltas.length;
    const step = round + 1;
    if (isShown(round))
      uncompressed.push({ step, bytes: step * bytesPerStep, ...softmaxScore(test, weights) });
  }
  return {
    codec,
    uncompressed,
    links: [...links.values()],
    tensors: layout.tensors.map(({ name }, index) => ({ name, bytes: bytesOfTensor[index]! })),
    staleness: whole.stalenessCounts,
  };
}

import type { Codec, GlobalSettings, Logger, NodeId, TensorLayout } from "@psgd/core";
import type { OptimizerRule, SyncPolicyName } from "@psgd/sgd";
import { pack } from "@psgd/wire";
import { HarnessRun, type CodecPair, type SentMessage } from "./harness-run.js";

/** What is measured: the codecs of a job and its circumstances. */
export interface TrafficSubject {
  /** Of the whole model, or with `perTensor` of each tensor in the order of the layout. */
  readonly codecs: readonly [CodecPair, ...CodecPair[]];
  readonly rule: OptimizerRule;
  readonly settings: GlobalSettings;
  readonly sync: SyncPolicyName;
  readonly layout: TensorLayout;
  readonly perTensor: boolean;
  readonly seed: number;
  readonly callTimeoutMs: number;
  /** What codecs say goes there. */
  readonly log: Logger;
  /** Asked after each step of all workers: whether enough was seen, so that the job need not be tried to its end. */
  readonly isEnough: (seen: TrafficSeen) => boolean;
}

/** What was seen so far. */
export interface TrafficSeen {
  /** Steps that all workers have taken. */
  readonly steps: number;
  /** Those in which codecs sent anything. */
  readonly stepsWithMessages: number;
  readonly messages: number;
  readonly bytes: number;
}

/** What codecs send, and what they keep, measured on codecs that run. */
export interface TrafficMeasurement {
  /** Steps that all workers took. */
  readonly steps: number;
  /** All of these steps, in the order they were sent. */
  readonly messages: readonly SentMessage[];
  /** By node: bytes of what its codecs would save; `undefined` if that cannot be packed. */
  readonly stateBytes: ReadonlyMap<NodeId, number | undefined>;
}

/**
 * Lets the codecs of a job take steps, with gradients of chance, until enough was seen, and notes what they send.
 * @throws {PsgdError} what the codecs are guilty of, as in the harness
 */
export async function measureTraffic(subject: TrafficSubject): Promise<TrafficMeasurement> {
  const { codecs, settings, layout, perTensor, seed } = subject;
  const messages: SentMessage[] = [];
  const stepsWithMessages = new Set<number>();
  const stateBytes = new Map<NodeId, number | undefined>();
  const deltas = settings.blocks.map((block) => cheapNoise(layout.size, seed + block));
  let bytes = 0;
  const run = new HarnessRun(
    {
      ...subject,
      codec: codecs[0].codec,
      server: codecs.find(({ server }) => server !== undefined)?.server,
      ...(perTensor ? { codecsByTensor: codecs } : {}),
      ...{ agreement: "none", tolerance: Infinity },
      probe: {
        delta: ({ blockId }) => deltas[blockId]!.slice(),
        onResult: () => {},
        onMessage: (message) => {
          messages.push(message);
          bytes += message.bytes;
          if (message.variableId >= 0) stepsWithMessages.add(message.step);
        },
        onEnd: (node, ended) => stateBytes.set(node, packedBytes(ended)),
      },
      isEnough: (steps) =>
        subject.isEnough({
          steps,
          // A node that waits for nobody may be further.
          stepsWithMessages: [...stepsWithMessages].filter((step) => step < steps).length,
          ...{ messages: messages.length, bytes },
        }),
    },
    0,
    subject.log,
  );
  await run.complete();
  const steps = run.stepsOfAll;
  return { steps, messages: messages.filter(({ step }) => step < steps), stateBytes };
}

/** A state that cannot be packed is the business of whoever saves it. */
function packedBytes(codecs: readonly Codec[]): number | undefined {
  try {
    return codecs.reduce((sum, codec) => sum + pack(codec.exportState()).length, 0);
  } catch {
    return undefined;
  }
}

/** Values of both signs and of different sizes, as gradients have; the same for the same seed. */
function cheapNoise(size: number, seed: number): Float32Array {
  const values = new Float32Array(size);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < size; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[i] = 1e-3 * (state / 2 ** 31) ** 3;
  }
  return values;
}

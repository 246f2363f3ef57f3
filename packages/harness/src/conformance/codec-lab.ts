import {
  ASSIGNMENTS,
  SILENT,
  createSettings,
  layoutOf,
  seededRandom,
  type BlockId,
  type CodecClass,
  type CodecParameters,
  type NodeId,
} from "@psgd/core";
import { OPTIMIZERS, resolvePairing, type OptimizerRule, type SyncPolicyName } from "@psgd/sgd";
import { HarnessRun } from "../harness-run.js";

/** What is examined, and in which circumstances. */
export interface LabSubject {
  readonly codec: CodecClass;
  readonly serverCodec: CodecClass | undefined;
  readonly sync: SyncPolicyName;
  readonly nodeCount: number;
  readonly redundancy: number;
  readonly parameters: CodecParameters;
  readonly seed: number;
  /** Real milliseconds that one call of the codec may take. */
  readonly callTimeoutMs: number;
}

/** One experiment. */
export interface Experiment {
  readonly rounds: number;
  /** Values of the model, four rows of a matrix. @defaultValue 24 */
  readonly size?: number;
  /** What the codecs draw from; the inputs do not depend on it. @defaultValue the subject's seed */
  readonly codecSeed?: number;
  /** Which order of events. @defaultValue 0 */
  readonly schedule?: number;
  /** Chooses what happens next, instead of a schedule. */
  readonly choose?: (eventCount: number) => number;
  /** Told what has happened, one event a line, also where the run fails. */
  readonly onEnd?: (events: readonly string[]) => void;
  /** In the place of the subject's codecs. */
  readonly wrap?: (codec: CodecClass) => CodecClass;
  /** What gradient descent would subtract for a block. @defaultValue gaussian, anew in each round */
  readonly delta?: (place: {
    round: number;
    blockId: BlockId;
    weights: Readonly<Float32Array>;
  }) => Float32Array;
}

/** What came out. */
export interface Observation {
  readonly messageBytes: number;
  readonly maxStaleness: number;
  /** By node: the result of each round. */
  readonly results: ReadonlyMap<NodeId, readonly Float32Array[]>;
  /** By node: how far it has moved its model against the sum of all means, after the last round. */
  readonly moved: ReadonlyMap<NodeId, Float32Array>;
  /** By node: its model at the end. */
  readonly models: ReadonlyMap<NodeId, Float32Array>;
}

const SIZE = 24;

/** Runs a codec on some nodes, as its author wrote it, with inputs that an experiment chooses. */
export class CodecLab {
  readonly subject: LabSubject;
  readonly server: CodecClass | undefined;
  readonly blocks: readonly BlockId[];
  readonly rule: OptimizerRule;

  /** @throws {PsgdError} PAIRING_INVALID, ASSIGNMENT_INVALID */
  constructor(subject: LabSubject) {
    this.subject = subject;
    const { optimizer, server } = resolvePairing(subject);
    this.server = server;
    this.rule = OPTIMIZERS[optimizer];
    const { blockCount } = ASSIGNMENTS.iid(subject);
    this.blocks = Array.from({ length: blockCount }, (_, block) => block);
  }

  /** Whether what nodes exchange does not depend on the models they have. */
  get carriesGradients(): boolean {
    return this.rule.carries === "gradients";
  }

  /** @throws {PsgdError} what the codec is guilty of */
  async run(experiment: Experiment): Promise<Observation> {
    const { codec, sync, seed, parameters, callTimeoutMs } = this.subject;
    const { rounds, size = SIZE, wrap = (same: CodecClass): CodecClass => same } = experiment;
    const delta = experiment.delta ?? (({ round, blockId }) => this.gaussian(size, round, blockId));
    const results = new Map<NodeId, Float32Array[]>();
    const models = new Map<NodeId, Float32Array>();
    let initial: Float32Array | undefined;
    const run = new HarnessRun(
      {
        codec: wrap(codec),
        server: this.server === undefined ? undefined : wrap(this.server),
        rule: this.rule,
        settings: createSettings({
          assignment: ASSIGNMENTS.iid(this.subject),
          batchSize: 64,
          stepCount: rounds,
          parameters,
          seed: experiment.codecSeed ?? seed,
        }),
        ...{ sync, perTensor: false, agreement: "none", tolerance: Infinity, callTimeoutMs },
        layout: layoutOf([{ name: "w", shape: [4, size / 4] }]),
        seed: experiment.codecSeed ?? seed,
        ...(experiment.choose === undefined ? {} : { choose: experiment.choose }),
        probe: {
          delta: (place) => {
            if (place.round === 0) initial ??= place.weights.slice();
            return delta(place);
          },
          onResult: (node, result, weights) => {
            results.set(node, [...(results.get(node) ?? []), result.slice()]);
            models.set(node, weights.slice());
          },
        },
      },
      experiment.schedule ?? 0,
      SILENT,
    );
    try {
      await run.complete();
    } finally {
      experiment.onEnd?.(run.events);
    }
    const inOrder = [...models].sort(([a], [b]) => a - b);
    const start = initial ?? new Float32Array(size);
    return {
      messageBytes: run.messageBytes,
      maxStaleness: run.maxStaleness,
      results,
      models: new Map(inOrder),
      moved: new Map(
        inOrder.map(([node, model]) => [node, model.map((value, i) => start[i]! - value)]),
      ),
    };
  }

  /** The same numbers for the same place. */
  gaussian(size: number, round: number, blockId: BlockId): Float32Array {
    const random = seededRandom(`${this.subject.seed}/round ${round}/block ${blockId}`);
    return Float32Array.from({ length: size }, () => random.normal());
  }

  /** The sum over some rounds of the means over all blocks. */
  sumOfMeans(
    rounds: number,
    delta: (round: number, blockId: BlockId) => Float32Array,
  ): Float64Array {
    const sum = new Float64Array(delta(0, 0).length);
    for (let round = 0; round < rounds; round++)
      for (const blockId of this.blocks)
        for (const [i, value] of delta(round, blockId).entries())
          sum[i]! += value / this.blocks.length;
    return sum;
  }
}

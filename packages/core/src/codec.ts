import type { NetEncapsulation } from "./envelope.js";
import { PsgdError } from "./errors.js";
import type { BlockId, NodeId } from "./ids.js";
import { nodeName } from "./ids.js";
import { requireLength, type TensorLayout } from "./layout.js";
import type { Logger } from "./log.js";
import type { Random } from "./random.js";
import type { GlobalSettings } from "./settings.js";

/** What vectors of a job mean: gradients (already scaled by the learning rate) or weights. */
export type Carries = "gradients" | "weights";

/**
 * What a codec's result means to its node: a gradient to subtract, weights to take over, or a displacement to add to
 * the initial weights (a parameter server that knows only the sum of all updates returns that).
 */
export type Returns = Carries | "displacement";

/** What this node computed from one block of a batch. */
export interface BlockWeight {
  /**
   * Flat, `layout.size` values: the gradient times the learning rate, or the new weights, as the job's optimizer says.
   * It is the codec's own from this call on: it may keep, change or send it.
   */
  readonly content: Float32Array;
  readonly blockId: BlockId;
  /** Steps of this node before this one, over all epochs: 0 … settings.stepCount − 1. */
  readonly step: number;
  /** Samples the block was computed from. */
  readonly sampleCount: number;
  /** Name, shape and place of each tensor in `content`. */
  readonly layout: TensorLayout;
}

/** Everything a codec is given about where it is. Never a clock, a socket or a file. */
export interface CodecContext {
  readonly nodeId: NodeId;
  readonly settings: GlobalSettings;
  /** The tensors this instance handles: all of the model, or one. */
  readonly layout: TensorLayout;
  /** Seeded by job, node and codec. */
  readonly random: Random;
  readonly log: Logger;
  /** The weights of this node now, flat as in `layout`; on a parameter server those the job started with. */
  currentWeights(): Readonly<Float32Array>;
  /** The learning rate of the step at hand. */
  learningRate(): number;
}

type Envelopes = NetEncapsulation | Iterable<NetEncapsulation> | AsyncIterable<NetEncapsulation>;

/** What a codec may return: nothing, one envelope, any iterable or async iterable of them, or a promise of these. */
// "Nothing" must include `void`: most codecs simply end without a return statement.
// eslint-disable-next-line @typescript-eslint/no-invalid-void-type -- authors return nothing, as the seed's do
export type CodecReturn = Envelopes | void | null | Promise<Envelopes | void | null>;

/**
 * What a node does in a step. *train*: computes its blocks and takes the result. *listen*: computes nothing, but takes
 * the result. *rest*: takes no part, its weights stay as they are.
 */
export type StepRole = "train" | "listen" | "rest";

/** The class of a codec, as a job names it. */
export interface CodecClass {
  new (context: CodecContext): Codec;
  readonly name: string;
  readonly carries: Carries | "any";
  readonly returns?: Returns;
  readonly server?: CodecClass;
}

/**
 * A codec decides what a node sends to whom, and how what arrives becomes the next model.
 *
 * One instance per node and, by choice of the job, per model or per tensor. Its node is an actor: a call is finished
 * (awaited) before the next begins, in synchronous and asynchronous jobs alike; only their order varies.
 *
 * @example
 * class Local extends Codec {
 *   static override readonly carries = "gradients";
 *   override updateBlocks(block: BlockWeight): void {
 *     this.setResult(block.content);
 *   }
 * }
 */
export abstract class Codec {
  /** What this codec sends; a job whose optimizer carries something else is refused at submit. */
  static readonly carries: Carries | "any" = "any";
  /** What its results mean; by default the same as `carries`. */
  static readonly returns?: Returns;
  /** The class that runs on the parameter server, if this codec talks to one. */
  static readonly server?: CodecClass;

  readonly #context: CodecContext;
  #hasResult = false;
  /** The one that is filled, and the one that was taken last. */
  #results: [Float32Array | undefined, Float32Array | undefined] = [undefined, undefined];

  constructor(context: CodecContext) {
    this.#context = context;
  }

  get nodeId(): NodeId {
    return this.#context.nodeId;
  }

  get settings(): GlobalSettings {
    return this.#context.settings;
  }

  get layout(): TensorLayout {
    return this.#context.layout;
  }

  get random(): Random {
    return this.#context.random;
  }

  get log(): Logger {
    return this.#context.log;
  }

  get weights(): Readonly<Float32Array> {
    return this.#context.currentWeights();
  }

  get learningRate(): number {
    return this.#context.learningRate();
  }

  /**
   * What a node does in a step; the same answer on every node, and by every codec of a model. Where it is not "train"
   * for all, one node speaks for all after an epoch: the first that trained in its last step evaluates the model.
   */
  roleIn(_step: number, _nodeId: NodeId = this.nodeId): StepRole {
    return "train";
  }

  /**
   * Called in the place of `updateBlocks` in a step in which this node listens, and after the last step of a job that
   * ends before its time if the node rested in it. As every step, it must come to a result.
   */
  onListen(_step: number): CodecReturn {}

  /** Called when this node has computed a block. */
  updateBlocks(_block: BlockWeight): CodecReturn {}

  /**
   * Called when a message for this codec has arrived; may return envelopes to forward it.
   * @param _content - what the sender put into its envelope; the codec's own
   */
  receiveBlocks(_content: unknown): CodecReturn {}

  /** Called once when a synchronous step has waited too long: the chance to send again what may break the deadlock. */
  onSyncTimeout(): CodecReturn {}

  /** Releases what the codec holds; may be called more than once, also between rounds by the codec itself. */
  dispose(): void {}

  /** The state that a checkpoint must hold: any packable value. */
  exportState(): unknown {
    return undefined;
  }

  /** Takes over what `exportState` of the same class returned. */
  importState(_state: unknown): void {}

  /**
   * Folds into the result of this step. In a synchronous job each step must come to a result.
   *
   * @param content - `layout.size` values; copied
   * @param operation - makes the new result from the old one (0 if there is none; it may be changed in place) and
   *   `content`; adds by default
   * @throws {PsgdError} SHAPE_MISMATCH
   */
  setResult(
    content: ArrayLike<number>,
    operation?: (old: Float32Array | 0, content: ArrayLike<number>) => ArrayLike<number>,
  ): void {
    const { size } = this.layout;
    const where = `result of ${this.constructor.name} on ${nodeName(this.nodeId)}`;
    const result = (this.#results[0] ??= new Float32Array(size));
    if (operation !== undefined) {
      const folded = operation(this.#hasResult ? result : 0, content);
      requireLength(folded, size, where);
      if (folded !== result) result.set(folded);
    } else {
      requireLength(content, size, where);
      if (!this.#hasResult) result.set(content);
      else for (let i = 0; i < size; i++) result[i]! += content[i]!;
    }
    this.#hasResult = true;
  }

  /** Whether a result waits to be taken. */
  get hasResult(): boolean {
    return this.#hasResult;
  }

  /**
   * The result, which is cleared. It stays as it is until the next one is taken: two buffers take turns, so that a
   * steady step makes no new ones.
   * @throws {PsgdError} CODEC_NO_RESULT if there is none
   */
  takeResult(): Float32Array {
    const [result, other] = this.#results;
    if (!this.#hasResult || result === undefined) {
      throw new PsgdError(
        "CODEC_NO_RESULT",
        `takeResult: expected a result, got none; codec ${this.constructor.name}, ${nodeName(this.nodeId)}; ` +
          "call setResult in updateBlocks or receiveBlocks",
      );
    }
    this.#hasResult = false;
    this.#results = [other, result];
    return result;
  }
}

import {
  PARAMETER_SERVER,
  PsgdError,
  layoutOfTensor,
  nodeName,
  type BlockWeight,
  type Clock,
  type Codec,
  type Logger,
  type NodeId,
  type TensorLayout,
  type TensorSlot,
} from "@psgd/core";
import type { CodecActor } from "./codec-actor.js";
import type { SyncPolicy } from "./sync-policy.js";

/** What travels from one node's codec to another's. */
export interface BlockMessage {
  /** Which codec of the model: its place in the exchange. */
  readonly variableId: number;
  readonly step: number;
  /** The sender's model when it was sent: updates given out (server), or results applied (worker). */
  readonly version: number;
  /** The version of the receiver's model that the sender last saw. */
  readonly baseVersion: number;
  readonly content: unknown;
}

/** One codec of a model: the tensor it handles, or `undefined` for all of the model. */
export interface ExchangeCodec {
  readonly actor: CodecActor;
  readonly tensor: TensorSlot | undefined;
}

export interface BlockExchangeOptions {
  readonly nodeId: NodeId;
  readonly layout: TensorLayout;
  /** Either one codec for the model, or one for each tensor in the order of the layout. */
  readonly codecs: readonly ExchangeCodec[];
  readonly policy: SyncPolicy;
  readonly clock: Clock;
  /** How long a step may wait for its peers before the rescue hook, and again after it. */
  readonly syncTimeoutMs: number;
  /** Whether time counts now: a node cut off from the network does not blame its peers. */
  readonly isConnected: () => boolean;
  /** Sends; the message is packed before this returns. */
  readonly post: (target: NodeId, message: BlockMessage) => void;
  /** Called once with the first failure: a parameter server has no `pull` to learn it from. */
  readonly onFailure: (error: PsgdError) => void;
  readonly log: Logger;
}

/** What an exchange counted. */
export interface ExchangeCounts {
  /** Messages handed to the codec. */
  delivered: number;
  /** Messages that came after their step was complete, and were dropped. */
  late: number;
  /** By staleness (updates between the sender's model and the receiver's): messages. */
  readonly staleness: Map<number, number>;
}

interface Arrival {
  readonly from: NodeId;
  readonly message: BlockMessage;
}

/**
 * Carries the blocks of one node to its peers and brings back the result of each step: `push` hands the blocks to
 * the codecs, `pull` waits until each codec has a result. Between the two stands the sync policy.
 *
 * Called from one node's loop (`push` and `pull`, never two at once) and from its links (`accept`); both run on one
 * event loop, and the codec's actor serialises what reaches the codec.
 */
export class BlockExchange {
  readonly counts: ExchangeCounts = { delivered: 0, late: 0, staleness: new Map() };
  readonly #options: BlockExchangeOptions;
  readonly #held = new Map<number, Arrival[]>();
  readonly #lastStepOf = new Map<NodeId, number>();
  readonly #versionOf = new Map<NodeId, number>();
  #position = { step: 0, isWaiting: false };
  #version = 0;
  #failure: PsgdError | undefined;
  #wake: (() => void) | undefined;
  readonly #inbox: Arrival[] = [];
  #isPumping = false;

  constructor(options: BlockExchangeOptions) {
    this.#options = options;
  }

  /**
   * Hands this node's blocks of a step to the codecs.
   * @param blocks - content of the whole model each; the codecs' own from now on
   */
  async push(step: number, blocks: readonly BlockWeight[]): Promise<void> {
    this.#requireHealthy();
    this.#position = { step, isWaiting: false };
    for (const block of blocks) {
      for (const [variableId, { actor, tensor }] of this.#options.codecs.entries()) {
        await actor.update(
          tensor === undefined ? block : blockOfTensor(block, tensor),
          (envelope) => this.#post(variableId, envelope.targets, envelope.content),
        );
      }
    }
  }

  /**
   * Waits for the result of a step and takes it.
   * @returns flat, `layout.size` values; the caller's own
   * @throws {PsgdError} SYNC_TIMEOUT, OUT_OF_STEP, or what a codec or the network failed with
   */
  async pull(step: number): Promise<Float32Array> {
    this.#position = { step, isWaiting: true };
    this.#inbox.unshift(...(this.#held.get(step) ?? []));
    this.#held.delete(step);
    void this.#pump();
    let timeoutCount = 0;
    while (!this.#isComplete()) {
      this.#requireHealthy();
      if (await this.#deliveryOrTimeout()) continue;
      if (timeoutCount > 0) throw this.#syncTimeout(step);
      timeoutCount++;
      await this.#rescue(step);
    }
    this.#requireHealthy();
    this.#position = { step: step + 1, isWaiting: false };
    this.#version++;
    this.counts.late += this.#held.get(step)?.length ?? 0;
    this.#held.delete(step);
    return this.#takeResult();
  }

  /** Takes in a message from a peer; it is judged when its turn comes, in order of arrival. */
  accept(from: NodeId, message: BlockMessage): void {
    this.#inbox.push({ from, message });
    void this.#pump();
  }

  /** Makes the current and every later `push` or `pull` reject; the first failure stands. */
  fail(error: PsgdError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#options.onFailure(error);
    this.#wake?.();
  }

  /** Works through the inbox, one message at a time: the verdict on one may depend on the one before. */
  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
        if (this.#failure === undefined) await this.#handle(next);
      }
    } catch (error) {
      this.fail(error as PsgdError);
    } finally {
      this.#isPumping = false;
      this.#wake?.();
    }
  }

  async #handle(arrival: Arrival): Promise<void> {
    const { from, message } = arrival;
    const codec = this.#codecOf(arrival);
    // A codec that has its result is done with the step: another block would spoil the next.
    const isWaiting = this.#position.isWaiting && !codec.hasResult;
    const position = { step: this.#position.step, isWaiting };
    switch (
      this.#options.policy.judge({ step: message.step, from }, this.#options.nodeId, position)
    ) {
      case "deliver":
        await this.#deliver(arrival);
        break;
      case "hold":
        this.#held.set(message.step, [...(this.#held.get(message.step) ?? []), arrival]);
        break;
      case "late":
        this.counts.late++;
    }
  }

  async #deliver({ from, message }: Arrival): Promise<void> {
    const isServer = this.#options.nodeId === PARAMETER_SERVER;
    const staleness = this.#stalenessOf(from, message);
    this.counts.staleness.set(staleness, (this.counts.staleness.get(staleness) ?? 0) + 1);
    this.counts.delivered++;
    this.#lastStepOf.set(from, message.step);
    this.#versionOf.set(from, message.version);
    let hasGivenOut = false;
    const { actor } = this.#options.codecs[message.variableId]!;
    await actor.receive(message.content, from, message.step, (envelope) => {
      // A server's model has a new version each time it gives one out.
      if (isServer && !hasGivenOut) this.#version++;
      hasGivenOut = true;
      this.#post(message.variableId, envelope.targets, envelope.content);
    });
    this.#wake?.();
  }

  /** Updates between the model the message came from and the receiver's; 0 where the server answers. */
  #stalenessOf(from: NodeId, message: BlockMessage): number {
    if (from === PARAMETER_SERVER) return 0;
    const seen = this.#options.nodeId === PARAMETER_SERVER ? message.baseVersion : message.version;
    return Math.max(0, this.#version - seen);
  }

  #post(variableId: number, targets: readonly NodeId[], content: unknown): void {
    for (const target of targets) {
      this.#options.post(target, {
        variableId,
        // A server is at no step: its answer belongs to the step of the node it answers.
        step:
          this.#options.nodeId === PARAMETER_SERVER
            ? (this.#lastStepOf.get(target) ?? 0)
            : this.#position.step,
        version: this.#version,
        baseVersion: this.#versionOf.get(target) ?? 0,
        content,
      });
    }
  }

  #isComplete(): boolean {
    return this.#options.codecs.every(({ actor }) => actor.codec.hasResult);
  }

  #takeResult(): Float32Array {
    const { codecs, layout } = this.#options;
    const [only] = codecs;
    if (only !== undefined && only.tensor === undefined) return only.actor.codec.takeResult();
    const result = new Float32Array(layout.size);
    for (const { actor, tensor } of codecs) result.set(actor.codec.takeResult(), tensor!.offset);
    return result;
  }

  async #rescue(step: number): Promise<void> {
    let sentCount = 0;
    for (const [variableId, { actor }] of this.#options.codecs.entries()) {
      if (actor.codec.hasResult) continue;
      await actor.syncTimeout(step, (envelope) => {
        sentCount += envelope.targets.length;
        for (const target of envelope.targets)
          this.#options.log.info(`Message retry to ${nodeName(target)}`);
        this.#post(variableId, envelope.targets, envelope.content);
      });
    }
    if (sentCount === 0)
      this.#options.log.warn("Time out while getting result, retry not available.");
  }

  /** @returns whether something was delivered (or failed); false after the time-out, counted while connected */
  #deliveryOrTimeout(): Promise<boolean> {
    const { clock, syncTimeoutMs, isConnected } = this.#options;
    return new Promise((resolve) => {
      const finish = (hasArrived: boolean): void => {
        this.#wake = undefined;
        cancel();
        resolve(hasArrived);
      };
      const expire = (): void => {
        if (isConnected()) finish(false);
        else cancel = clock.setTimer(syncTimeoutMs, expire);
      };
      let cancel = clock.setTimer(syncTimeoutMs, expire);
      this.#wake = () => finish(true);
    });
  }

  #syncTimeout(step: number): PsgdError {
    const { nodeId, codecs, syncTimeoutMs } = this.#options;
    const waiting = codecs.flatMap(({ actor, tensor }) =>
      actor.codec.hasResult
        ? []
        : [`${actor.codec.constructor.name}${tensor === undefined ? "" : ` of ${tensor.name}`}`],
    );
    const heard = [...this.#lastStepOf].map(([node, last]) => `${nodeName(node)} at step ${last}`);
    return new PsgdError(
      "SYNC_TIMEOUT",
      `result of step ${step}: expected within ${syncTimeoutMs} ms, got none, also after onSyncTimeout; ` +
        `${nodeName(nodeId)}, codec ${waiting.join(", ")}; last heard: ${heard.length === 0 ? "nobody" : heard.join(", ")}; ` +
        "each step must end in setResult on every node; raise `--sync-timeout` if a peer is only slow",
      { details: { node: nodeId, step } },
    );
  }

  #codecOf({ from, message }: Arrival): Codec {
    const found = this.#options.codecs[message.variableId];
    if (found !== undefined) return found.actor.codec;
    throw new PsgdError(
      "WIRE_MALFORMED",
      `variableId: expected 0..${this.#options.codecs.length - 1}, got ${message.variableId}; message from ${nodeName(from)}`,
    );
  }

  #requireHealthy(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

function blockOfTensor(block: BlockWeight, tensor: TensorSlot): BlockWeight {
  return {
    ...block,
    content: block.content.slice(tensor.offset, tensor.offset + tensor.size),
    layout: layoutOfTensor(tensor),
  };
}

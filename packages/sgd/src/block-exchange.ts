import {
  PARAMETER_SERVER,
  PsgdError,
  layoutOfTensor,
  nodeName,
  type BlockWeight,
  type Clock,
  type Logger,
  type NodeId,
  type StepRole,
  type TensorLayout,
  type TensorSlot,
} from "@psgd/core";
import type { CodecActor, Emit } from "./codec-actor.js";
import type { SyncPolicy } from "./sync-policy.js";

/** What travels from one node's codec to another's. */
export interface BlockMessage {
  /** Which codec of the model: its place in the exchange; `CLOCK` for none. */
  readonly variableId: number;
  readonly step: number;
  /** The sender's model when it was sent: updates given out (server), or results applied (worker). */
  readonly version: number;
  /** The version of the receiver's model that the sender last saw. */
  readonly baseVersion: number;
  readonly content: unknown;
}

/** In the place of a codec: the message says that its sender is about to begin a step, and nothing else. */
const CLOCK = -1;

/** One codec of a model: the tensor it handles, or `undefined` for all of the model. */
export interface ExchangeCodec {
  readonly actor: CodecActor;
  readonly tensor: TensorSlot | undefined;
}

export interface BlockExchangeOptions {
  readonly nodeId: NodeId;
  /** The workers of the job. */
  readonly workers: readonly NodeId[];
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

/** What the exchange knows of one codec's model: with a codec per tensor each has answers and versions of its own. */
interface Variable {
  /** Updates given out (server), or results applied (worker). */
  version: number;
  /** By peer: the step of its last message. */
  readonly lastStepOf: Map<NodeId, number>;
  /** By peer: the version it had when it sent that. */
  readonly versionOf: Map<NodeId, number>;
}

/** While it waits for its peers, a node looks this often whether it is connected. */
const SLICES_PER_TIMEOUT = 10;

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
  readonly #variables: readonly Variable[];
  readonly #held = new Map<number, Arrival[]>();
  readonly #inbox: Arrival[] = [];
  #position = { step: 0, isWaiting: false };
  /** Just before this one: others took them while this node did nothing, and it now waits for what took them so long. */
  #restedSteps = 0;
  #failure: PsgdError | undefined;
  #wake: (() => void) | undefined;
  #isPumping = false;
  /** By worker: the step it has come to, where the policy keeps count. */
  readonly #clocks = new Map<NodeId, number>();

  constructor(options: BlockExchangeOptions) {
    this.#options = options;
    this.#variables = options.codecs.map(() => ({
      version: 0,
      lastStepOf: new Map(),
      versionOf: new Map(),
    }));
  }

  /**
   * Begins a step, before anything is computed for it: where the policy bounds how far workers are apart, it waits for
   * the slowest.
   * @throws {PsgdError} SYNC_TIMEOUT, or what the network failed with
   */
  async begin(step: number): Promise<void> {
    const { policy, workers, nodeId, post } = this.#options;
    const { maxLead } = policy;
    if (maxLead === undefined) return;
    const peers = workers.filter((worker) => worker !== nodeId);
    for (const peer of peers)
      post(peer, { variableId: CLOCK, step, version: 0, baseVersion: 0, content: null });
    const slow = (): NodeId[] =>
      peers.filter((peer) => (this.#clocks.get(peer) ?? 0) < step - maxLead);
    const isWithin = (): boolean => slow().length === 0;
    // Twice, as a step waits for its result: long enough to learn that a peer is gone, and to say that instead.
    if ((await this.#isTrueInTime(isWithin)) || (await this.#isTrueInTime(isWithin))) return;
    throw this.#tooSlow(step, slow());
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
        const content = tensor === undefined ? block : blockOfTensor(block, tensor);
        await actor.update(content, this.#posting(variableId, step));
      }
    }
  }

  /** Tells the codecs that this node waits for the result of a step in which it has computed nothing. */
  async listen(step: number): Promise<void> {
    this.#requireHealthy();
    this.#position = { step, isWaiting: false };
    for (const [variableId, { actor }] of this.#options.codecs.entries())
      await actor.listen(step, this.#posting(variableId, step));
  }

  /** Passes a step in which this node takes no part: what comes for it is late. */
  rest(step: number): void {
    this.#requireHealthy();
    this.#restedSteps++;
    this.#position = { step: step + 1, isWaiting: false };
    this.counts.late += this.#held.get(step)?.length ?? 0;
    this.#held.delete(step);
  }

  /**
   * What a node does in a step, as the codecs say.
   * @throws {PsgdError} PAIRING_INVALID, CODEC_THREW
   */
  roleIn(step: number, nodeId: NodeId): StepRole {
    const [first, ...others] = this.#options.codecs.map(({ actor }) => actor.roleIn(step, nodeId));
    const other = others.find((role) => role !== first);
    if (other === undefined) return first ?? "train";
    throw new PsgdError(
      "PAIRING_INVALID",
      `role of ${nodeName(nodeId)} in step ${step}: expected one from all codecs of the model, got ${first} and ${other}; ` +
        "use codecs together that sample nodes alike",
      { details: { node: nodeId, step } },
    );
  }

  /**
   * Waits for the result of a step and takes it.
   * @returns flat, `layout.size` values; as it is until the next `pull`
   * @throws {PsgdError} SYNC_TIMEOUT, OUT_OF_STEP, or what a codec or the network failed with
   */
  async pull(step: number): Promise<Float32Array> {
    this.#position = { step, isWaiting: true };
    this.#inbox.unshift(...(this.#held.get(step) ?? []));
    this.#held.delete(step);
    void this.#pump();
    const isComplete = (): boolean => this.#isComplete();
    const stepCount = 1 + this.#restedSteps;
    if (!(await this.#isTrueInTime(isComplete, stepCount))) {
      await this.#rescue(step);
      if (!(await this.#isTrueInTime(isComplete, stepCount)))
        throw this.#syncTimeout(step, stepCount);
    }
    this.#restedSteps = 0;
    // From here on what comes for this step is late, also while a call of the codec runs to its end.
    this.#position = { step, isWaiting: false };
    const result = await this.#takeResult();
    this.#requireHealthy();
    this.#position = { step: step + 1, isWaiting: false };
    for (const variable of this.#variables) variable.version++;
    this.counts.late += this.#held.get(step)?.length ?? 0;
    this.#held.delete(step);
    return result;
  }

  /** Takes in a message from a peer; it is judged when its turn comes, in order of arrival. */
  accept(from: NodeId, message: BlockMessage): void {
    try {
      this.#requireWellFormed(from, message);
    } catch (error) {
      this.fail(error as PsgdError);
      return;
    }
    if (message.variableId === CLOCK) {
      this.#clocks.set(from, Math.max(message.step, this.#clocks.get(from) ?? 0));
      this.#wake?.();
      return;
    }
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
    const { codec } = this.#options.codecs[message.variableId]!.actor;
    // A codec that has its result is done with the step: another block would spoil the next.
    const isWaiting = this.#position.isWaiting && !codec.hasResult;
    const position = { step: this.#position.step, isWaiting };
    const judged = { step: message.step, from, stepsAhead: this.#stepsAhead(from, message.step) };
    switch (this.#options.policy.judge(judged, this.#options.nodeId, position)) {
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

  /** Steps after this node's that a peer has sent anything for, with one more message. */
  #stepsAhead(from: NodeId, step: number): number {
    if (step <= this.#position.step) return 0;
    let count = 1;
    for (const [held, arrivals] of this.#held) {
      const isAhead = held > this.#position.step && held !== step;
      if (isAhead && arrivals.some((arrival) => arrival.from === from)) count++;
    }
    return count;
  }

  async #deliver({ from, message }: Arrival): Promise<void> {
    const { variableId } = message;
    const variable = this.#variables[variableId]!;
    const staleness = this.#stalenessOf(from, message);
    this.counts.staleness.set(staleness, (this.counts.staleness.get(staleness) ?? 0) + 1);
    this.counts.delivered++;
    variable.lastStepOf.set(from, message.step);
    variable.versionOf.set(from, message.version);
    const post = this.#posting(variableId, this.#position.step);
    let hasGivenOut = false;
    const { actor } = this.#options.codecs[variableId]!;
    await actor.receive(message.content, from, message.step, (envelope) => {
      // A server's model has a new version each time it gives one out.
      if (this.#isServer && !hasGivenOut) variable.version++;
      hasGivenOut = true;
      post(envelope);
    });
    this.#wake?.();
  }

  /** Updates between the model the message came from and the receiver's; 0 where the server answers. */
  #stalenessOf(from: NodeId, message: BlockMessage): number {
    if (from === PARAMETER_SERVER) return 0;
    const seen = this.#isServer ? message.baseVersion : message.version;
    return Math.max(0, this.#variables[message.variableId]!.version - seen);
  }

  /** Sends what a call of a codec emits, as of the step in which the call began: it may end in a later one. */
  #posting(variableId: number, step: number): Emit {
    const { version, lastStepOf, versionOf } = this.#variables[variableId]!;
    return ({ targets, content }) => {
      for (const target of targets) {
        this.#options.post(target, {
          variableId,
          // A server is at no step: its answer belongs to the step of the node it answers.
          step: this.#isServer ? (lastStepOf.get(target) ?? 0) : step,
          version: this.#isServer ? this.#variables[variableId]!.version : version,
          baseVersion: versionOf.get(target) ?? 0,
          content,
        });
      }
    };
  }

  get #isServer(): boolean {
    return this.#options.nodeId === PARAMETER_SERVER;
  }

  #isComplete(): boolean {
    return this.#options.codecs.every(({ actor }) => actor.codec.hasResult);
  }

  async #takeResult(): Promise<Float32Array> {
    const { codecs, layout } = this.#options;
    const [only] = codecs;
    if (only !== undefined && only.tensor === undefined) return only.actor.takeResult();
    const result = new Float32Array(layout.size);
    for (const { actor, tensor } of codecs) result.set(await actor.takeResult(), tensor!.offset);
    return result;
  }

  async #rescue(step: number): Promise<void> {
    const { codecs, log } = this.#options;
    let sentCount = 0;
    for (const [variableId, { actor }] of codecs.entries()) {
      const post = this.#posting(variableId, step);
      await actor.syncTimeout(step, (envelope) => {
        sentCount += envelope.targets.length;
        for (const target of envelope.targets) log.info(`Message retry to ${nodeName(target)}`);
        post(envelope);
      });
    }
    if (sentCount === 0 && !this.#isComplete())
      log.warn("Time out while getting result, retry not available.");
  }

  /**
   * Waits for something; false once that took the time-out of so many steps, counted while connected. Messages that come
   * meanwhile do not prolong it: a peer that talks on does not bring the missing block.
   */
  #isTrueInTime(isTrue: () => boolean, stepCount = 1): Promise<boolean> {
    const { clock, syncTimeoutMs, isConnected } = this.#options;
    return new Promise((resolve, reject) => {
      let slicesLeft = SLICES_PER_TIMEOUT * stepCount;
      let wasConnected = isConnected();
      let cancel = (): void => {};
      const stop = (): void => {
        this.#wake = undefined;
        cancel();
      };
      const look = (): void => {
        if (this.#failure === undefined && !isTrue()) return;
        stop();
        if (this.#failure === undefined) resolve(true);
        else reject(this.#failure);
      };
      const startSlice = (): void => {
        cancel = clock.setTimer(syncTimeoutMs / SLICES_PER_TIMEOUT, () => {
          if (wasConnected && isConnected()) slicesLeft--;
          wasConnected = isConnected();
          if (slicesLeft > 0) startSlice();
          else {
            stop();
            resolve(false);
          }
        });
      };
      startSlice();
      this.#wake = look;
      look();
    });
  }

  #tooSlow(step: number, slow: readonly NodeId[]): PsgdError {
    const { nodeId, syncTimeoutMs, policy } = this.#options;
    const places = slow.map((node) => `${nodeName(node)} at step ${this.#clocks.get(node) ?? 0}`);
    return new PsgdError(
      "SYNC_TIMEOUT",
      `step ${step} of ${nodeName(nodeId)}: expected all workers to be at most ${policy.maxLead} steps behind within ${syncTimeoutMs} ms, ` +
        `got ${places.join(", ")}; raise \`--staleness\` or \`--sync-timeout\` if they are only slow`,
      { details: { node: nodeId, step } },
    );
  }

  #syncTimeout(step: number, stepCount: number): PsgdError {
    const { nodeId, codecs, syncTimeoutMs } = this.#options;
    const waiting = codecs.flatMap(({ actor, tensor }) =>
      actor.codec.hasResult
        ? []
        : [`${actor.codec.constructor.name}${tensor === undefined ? "" : ` of ${tensor.name}`}`],
    );
    const heard = [...this.#lastSteps()].map(([node, last]) => `${nodeName(node)} at step ${last}`);
    return new PsgdError(
      "SYNC_TIMEOUT",
      `result of step ${step}: expected within ${stepCount * syncTimeoutMs} ms, got none, also after onSyncTimeout; ` +
        `${nodeName(nodeId)}, codec ${waiting.join(", ")}; last heard: ${heard.length === 0 ? "nobody" : heard.join(", ")}; ` +
        "each step must end in setResult on every node; raise `--sync-timeout` if a peer is only slow",
      { details: { node: nodeId, step } },
    );
  }

  /** By peer: the latest step that anything came from. */
  #lastSteps(): ReadonlyMap<NodeId, number> {
    const latest = new Map<NodeId, number>();
    for (const { lastStepOf } of this.#variables) {
      for (const [node, step] of lastStepOf)
        latest.set(node, Math.max(step, latest.get(node) ?? 0));
    }
    return latest;
  }

  #requireWellFormed(from: NodeId, message: BlockMessage): void {
    const { policy } = this.#options;
    const bounds = { variableId: this.#variables.length - 1, ...UNBOUNDED };
    // Whatever a peer may send, `null` included.
    const fields = Object(message) as Readonly<Record<string, unknown>>;
    for (const [field, last] of Object.entries(bounds)) {
      const value = fields[field];
      if (field === "variableId" && value === CLOCK && policy.maxLead !== undefined) continue;
      if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= last)
        continue;
      throw new PsgdError(
        "WIRE_MALFORMED",
        `${field}: expected a whole number 0..${last}, got ${String(value)}; message from ${nodeName(from)} to ${nodeName(this.#options.nodeId)}`,
      );
    }
  }

  #requireHealthy(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

/** The fields of a message that count without an end. */
const UNBOUNDED = {
  step: Number.MAX_SAFE_INTEGER,
  version: Number.MAX_SAFE_INTEGER,
  baseVersion: Number.MAX_SAFE_INTEGER,
};

function blockOfTensor(block: BlockWeight, tensor: TensorSlot): BlockWeight {
  return {
    ...block,
    content: block.content.slice(tensor.offset, tensor.offset + tensor.size),
    layout: layoutOfTensor(tensor),
  };
}

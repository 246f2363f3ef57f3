import {
  PARAMETER_SERVER,
  PsgdError,
  isPsgdError,
  nodeName,
  toErrorRecord,
  type BlockWeight,
  type Clock,
  type Codec,
  type CodecReturn,
  type NetEncapsulation,
  type NodeId,
  type StepRole,
} from "@psgd/core";

/** Takes one envelope; called while the codec's call still runs, so the content must be copied before it returns. */
export type Emit = (envelope: NetEncapsulation) => void;

export interface CodecActorOptions {
  readonly codec: Codec;
  readonly nodeCount: number;
  /** Whether the job has a parameter server to send to. */
  readonly hasServer: boolean;
  readonly clock: Clock;
  /** How long one call may take, its promise included. */
  readonly callTimeoutMs: number;
}

/**
 * Runs one codec as an actor: calls queue up, each is awaited before the next begins, whatever it returned is turned
 * into envelopes with valid targets, and whatever it threw is wrapped once with the place it came from.
 */
export class CodecActor {
  readonly codec: Codec;
  readonly #options: CodecActorOptions;
  readonly #queue: (() => void)[] = [];
  #isBusy = false;
  /** Set when a call did not end in time: it may still run, so no other may begin. */
  #unfinished: PsgdError | undefined;

  constructor(options: CodecActorOptions) {
    this.codec = options.codec;
    this.#options = options;
  }

  update(block: BlockWeight, emit: Emit): Promise<void> {
    return this.#call(
      "updateBlocks",
      `step ${block.step}, block ${block.blockId}`,
      () => this.codec.updateBlocks(block),
      emit,
    );
  }

  listen(step: number, emit: Emit): Promise<void> {
    return this.#call("onListen", `step ${step}`, () => this.codec.onListen(step), emit);
  }

  /** @throws {PsgdError} CODEC_THREW */
  roleIn(step: number, nodeId: NodeId): StepRole {
    try {
      return this.codec.roleIn(step, nodeId);
    } catch (cause) {
      throw this.#wrap("roleIn", `step ${step}`, cause);
    }
  }

  receive(content: unknown, from: NodeId, step: number, emit: Emit): Promise<void> {
    return this.#call(
      "receiveBlocks",
      `step ${step}, message from ${nodeName(from)}`,
      () => this.codec.receiveBlocks(content),
      emit,
    );
  }

  /** Calls the rescue hook, unless the codec has come to its result when the turn is there: nothing is to rescue then. */
  syncTimeout(step: number, emit: Emit): Promise<void> {
    const rescue = (): CodecReturn =>
      this.codec.hasResult ? undefined : this.codec.onSyncTimeout();
    return this.#call("onSyncTimeout", `step ${step}`, rescue, emit);
  }

  /**
   * Takes the codec's result, in its turn: never while a call still runs that may add to it.
   * @throws {PsgdError} CODEC_NO_RESULT
   */
  takeResult(): Promise<Float32Array> {
    return this.#inTurn(async () => this.codec.takeResult());
  }

  /** Whether a call runs or waits. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  dispose(): void {
    try {
      this.codec.dispose();
    } catch (cause) {
      throw this.#wrap("dispose", "end of the job", cause);
    }
  }

  #call(method: string, where: string, call: () => CodecReturn, emit: Emit): Promise<void> {
    return this.#inTurn(() => this.#run(method, where, call, emit));
  }

  /** Runs one job at a time, in order of asking; at once if none runs. What a call sends to its own node comes after it. */
  async #inTurn<T>(job: () => Promise<T>): Promise<T> {
    if (this.#isBusy) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#isBusy = true;
    try {
      if (this.#unfinished !== undefined) throw this.#unfinished;
      return await job();
    } finally {
      const next = this.#queue.shift();
      // The turn is handed over, never free in between: nobody can push in.
      if (next === undefined) this.#isBusy = false;
      else next();
    }
  }

  async #run(method: string, where: string, call: () => CodecReturn, emit: Emit): Promise<void> {
    try {
      const returned = call();
      if (returned === undefined || returned === null) return;
      if (isEnvelope(returned)) this.#emit(returned, method, where, emit);
      else await this.#beforeDeadline(this.#drain(returned, method, where, emit), method, where);
    } catch (cause) {
      throw this.#wrap(method, where, cause);
    }
  }

  async #drain(returned: unknown, method: string, where: string, emit: Emit): Promise<void> {
    const value: unknown = isThenable(returned) ? await returned : returned;
    if (value === undefined || value === null) return;
    if (isEnvelope(value)) this.#emit(value, method, where, emit);
    else if (isIterable(value))
      for (const envelope of value) this.#emit(envelope, method, where, emit);
    else if (isAsyncIterable(value))
      for await (const envelope of value) this.#emit(envelope, method, where, emit);
    else throw this.#invalidReturn(value, method, where);
  }

  #emit(envelope: unknown, method: string, where: string, emit: Emit): void {
    // Nobody waits for this call any more.
    if (this.#unfinished !== undefined) throw this.#unfinished;
    if (!isEnvelope(envelope)) throw this.#invalidReturn(envelope, method, where);
    for (const target of envelope.targets) this.#requireTarget(target, where);
    try {
      emit(envelope);
    } catch (cause) {
      throw new PostFailure(cause as Error);
    }
  }

  #requireTarget(target: unknown, where: string): void {
    const { nodeCount, hasServer } = this.#options;
    const isWorker =
      Number.isInteger(target) && (target as number) >= 0 && (target as number) < nodeCount;
    if (isWorker || (hasServer && target === PARAMETER_SERVER)) return;
    const rule = `a node id 0..${nodeCount - 1}${hasServer ? ` or PARAMETER_SERVER (${PARAMETER_SERVER})` : ""}`;
    const remedy =
      target === PARAMETER_SERVER
        ? "this job has no parameter server, add `--server-codec FILE.CLASS`"
        : "take targets from `settings.nodes` or `settings.nodesWithout(blockId)`";
    throw new PsgdError(
      "CODEC_INVALID_TARGET",
      `netEncapsulation target: expected ${rule}, got ${printed(target)}; ${this.#place(where)}; ${remedy}`,
      { details: { node: this.codec.nodeId } },
    );
  }

  #invalidReturn(value: unknown, method: string, where: string): PsgdError {
    return new PsgdError(
      "CODEC_INVALID_RETURN",
      `${method}: expected nothing, a netEncapsulation or an iterable of them, got ${describe(value)}; ${this.#place(where)}; ` +
        "wrap what is to be sent in `netEncapsulation(targets, content)`, and keep results with `setResult`",
      { details: { node: this.codec.nodeId } },
    );
  }

  #beforeDeadline(work: Promise<void>, method: string, where: string): Promise<void> {
    const { clock, callTimeoutMs } = this.#options;
    const error = new PsgdError(
      "CODEC_TIMEOUT",
      `${method}: expected an answer within ${callTimeoutMs} ms, got none; ${this.#place(where)}; ` +
        "a call must not wait for a later call of the same codec; settle what it awaits, or raise `--codec-timeout`",
      { details: { node: this.codec.nodeId } },
    );
    return new Promise((resolve, reject) => {
      const cancel = clock.setTimer(callTimeoutMs, () => {
        this.#unfinished = error;
        reject(error);
      });
      work.then(resolve, reject).finally(cancel);
    });
  }

  #wrap(method: string, where: string, cause: unknown): Error {
    if (cause instanceof PostFailure) return this.#withPlace(cause.reason, where);
    // What the runtime itself found wrong with the codec already has a code and a place.
    if (isPsgdError(cause) && cause.code.startsWith("CODEC_")) return cause;
    const { message } = toErrorRecord(cause);
    return new PsgdError("CODEC_THREW", `${method} threw: ${message}; ${this.#place(where)}`, {
      details: { node: this.codec.nodeId },
      cause,
    });
  }

  /** A failure to send is not the codec's throwing; but where it happened helps with a value that cannot be packed. */
  #withPlace(reason: Error, where: string): Error {
    if (!isPsgdError(reason)) return reason;
    const text = reason.message.slice(reason.code.length + 2);
    return new PsgdError(reason.code, `${text}; ${this.#place(where)}`, {
      details: { node: this.codec.nodeId, ...reason.details },
      cause: reason,
    });
  }

  #place(where: string): string {
    return `codec ${this.codec.constructor.name}, ${nodeName(this.codec.nodeId)}, ${where}`;
  }
}

/** Tells what came from sending apart from what the codec's own code threw. */
class PostFailure extends Error {
  readonly reason: Error;

  constructor(reason: Error) {
    super();
    this.reason = reason;
  }
}

function isEnvelope(value: unknown): value is NetEncapsulation {
  return (
    typeof value === "object" &&
    value !== null &&
    "content" in value &&
    "targets" in value &&
    Array.isArray(value.targets)
  );
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    "then" in value &&
    typeof value.then === "function"
  );
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

function describe(value: unknown): string {
  if (typeof value !== "object" || value === null) return `${typeof value} ${printed(value)}`;
  return `an object with ${Object.keys(value).length === 0 ? "no fields" : `fields ${Object.keys(value).join(", ")}`}`;
}

function printed(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

import { fromErrorRecord, PsgdError, type Plan } from "@psgd/core";
import type { Channel } from "./channel.js";
import type { CallerMessage, HostMessage, Reference } from "./messages.js";
import { Pointer } from "./pointer.js";
import { requireTensor, type TensorValue } from "./tensor-value.js";

interface Waiting {
  readonly resolve: (message: HostMessage) => void;
  readonly reject: (error: Error) => void;
}

/** A worker as its caller sees it, over any line. Nothing here waits, but for values and searches. */
export class RemoteWorker {
  readonly name: string;
  readonly #channel: Channel;
  readonly #waiting = new Map<number, Waiting>();
  /** Ids whose pointers nobody holds any more. */
  readonly #unreachable = new FinalizationRegistry<Reference>((id) => this.release(id));
  readonly #freed: Reference[] = [];
  #nextId = 0;
  #nextRequest = 0;
  #end: PsgdError | undefined;

  constructor(name: string, channel: Channel) {
    this.name = name;
    this.#channel = channel;
    channel.onMessage((message) => this.#receive(message as HostMessage));
    channel.onLost((cause) => this.fail(cause));
    channel.onClosed(() => this.fail());
  }

  /** Whether it is gone, or was closed; a new line must be made then. */
  get isLost(): boolean {
    return this.#end !== undefined;
  }

  /**
   * Puts a tensor there, for as long as somebody holds the pointer. With tags, every caller of the worker can find and
   * use it, until it is freed or this caller leaves.
   */
  put(tensor: TensorValue, { tags = [] }: { readonly tags?: readonly string[] } = {}): Pointer {
    const { shape, dtype } = requireTensor(tensor, "put");
    const id = this.#newId();
    this.#say({ type: "put", id, tensor, tags });
    const pointer = new Pointer(this, id, { tags, value: { shape, dtype } });
    // What has tags can be found again without its pointer.
    return tags.length > 0 ? pointer : this.#tracked(pointer);
  }

  /** The tensors there that have all these tags. */
  async search(...tags: string[]): Promise<Pointer[]> {
    const reply = await this.#ask((request) => ({ type: "search", request, tags }));
    if (reply.type !== "found") throw new Error(`bug: ${reply.type} as answer to a search`);
    return reply.entries.map(
      ({ id, tags: all, shape, dtype }) =>
        new Pointer(this, id, { tags: all, value: { shape, dtype } }),
    );
  }

  /** Sends a plan. @returns the id under which the worker keeps it */
  sendPlan(plan: Plan, state: Float32Array): Reference {
    const id = this.#newId();
    this.#say({ type: "plan", id, plan, state });
    return id;
  }

  /** Runs a plan that is there on tensors that are there, now or by then. @returns pointers to the results, at once */
  run(planId: Reference, inputs: readonly Pointer[], outputCount: number): Pointer[] {
    for (const { worker, id } of inputs) {
      if (worker === this) continue;
      throw new PsgdError(
        "POINTER_GONE",
        `pointer ${id}: expected one of ${this.name}, got one of ${worker.name}; fetch it with get and put it here`,
      );
    }
    const outputs = Array.from({ length: outputCount }, () => this.#newId());
    this.#say({ type: "run", plan: planId, inputs: inputs.map(({ id }) => id), outputs });
    return outputs.map((id) => this.#tracked(new Pointer(this, id)));
  }

  /** The tensor under an id, which stays there. */
  async fetch(id: Reference): Promise<TensorValue> {
    const reply = await this.#ask((request) => ({ type: "get", request, id }));
    if (reply.type === "value") return requireTensor(reply.tensor, `answer of ${this.name}`);
    throw new Error(`bug: ${reply.type} as answer to a get`);
  }

  /** Lets the worker forget something of ours, with the next message that goes there. */
  release(id: Reference): void {
    if (id.includes(":") || this.#end !== undefined) return;
    this.#freed.push(id);
    if (this.#freed.length > 1) return;
    queueMicrotask(() => {
      const ids = this.#freed.splice(0);
      if (this.#end === undefined && ids.length > 0) this.#channel.send({ type: "free", ids });
    });
  }

  /** Says goodbye; the worker forgets everything of ours. */
  async close(): Promise<void> {
    this.fail();
    await this.#channel.close();
  }

  /** Ends the line from this side: whoever waits, or asks from now on, learns that the worker is gone. */
  fail(cause?: Error): void {
    this.#end ??= new PsgdError(
      "WORKER_LOST",
      `worker ${this.name}: expected it to be there, got its end` +
        (cause === undefined ? "" : ` (${cause.message})`) +
        "; what it held is lost, send it to another",
      cause === undefined ? {} : { cause },
    );
    for (const { reject } of this.#waiting.values()) reject(this.#end);
    this.#waiting.clear();
  }

  toString(): string {
    return `<Worker ${this.name}>`;
  }

  #newId(): Reference {
    return String(this.#nextId++);
  }

  #tracked(pointer: Pointer): Pointer {
    this.#unreachable.register(pointer, pointer.id);
    return pointer;
  }

  #say(message: CallerMessage): void {
    // A lost worker shows when a value is asked for; until then pointers point nowhere.
    if (this.#end === undefined) this.#channel.send(message);
  }

  #ask(message: (request: number) => CallerMessage): Promise<HostMessage> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const request = this.#nextRequest++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(request, { resolve, reject });
      this.#say(message(request));
    });
  }

  #receive(message: HostMessage): void {
    if (message.type === "refused") {
      this.fail(fromErrorRecord(message.error));
      return;
    }
    const waiting = this.#waiting.get(message.request);
    this.#waiting.delete(message.request);
    if (message.type === "failed") waiting?.reject(fromErrorRecord(message.error));
    else waiting?.resolve(message);
  }
}

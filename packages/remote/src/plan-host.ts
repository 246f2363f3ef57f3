import {
  fromErrorRecord,
  PsgdError,
  toErrorRecord,
  type Engine,
  type ErrorRecord,
  type Executable,
  type Plan,
  type PlanArray,
} from "@psgd/core";
import { estimateCost, validatePlan } from "@psgd/compute";
import type { Channel } from "./channel.js";
import {
  readCallerMessage,
  type CallerMessage,
  type HostMessage,
  type Reference,
} from "./messages.js";
import { describe, requireTensor, type TensorValue } from "./tensor-value.js";

/** What callers may ask of a worker. */
export interface HostLimits {
  /** Tensors, plans and their memory, of one caller. */
  readonly callerBytes: number;
  /** The same of all callers. */
  readonly totalBytes: number;
  /** Floating point operations of one run of a plan. */
  readonly flopsPerRun: number;
}

export const HOST_LIMITS: HostLimits = {
  callerBytes: 512 * 2 ** 20,
  totalBytes: 2 ** 31,
  flopsPerRun: 1e12,
};

type Entry =
  | { readonly kind: "tensor"; readonly tensor: TensorValue; readonly tags: readonly string[] }
  | PlanEntry
  /** Whatever should be here, could not be made. */
  | { readonly kind: "failed"; readonly error: ErrorRecord };

interface PlanEntry {
  readonly kind: "plan";
  readonly plan: Plan;
  readonly executable: Executable;
  /** Before and after a run; they take turns. */
  state: Float32Array;
  nextState: Float32Array;
  runCount: number;
}

/**
 * A worker's side: keeps what callers put there, and runs their plans on it, in the order of each caller's messages.
 * What goes wrong is kept in place of the result, so that whoever asks for it learns why. A caller that leaves, or is
 * lost, leaves nothing behind.
 */
export class PlanHost {
  readonly #engine: Engine;
  readonly #limits: HostLimits;
  readonly #callers = new Map<string, Caller>();
  #callerCount = 0;

  constructor({ engine, limits = HOST_LIMITS }: { engine: Engine; limits?: HostLimits }) {
    this.#engine = engine;
    this.#limits = limits;
  }

  /** Bytes that all callers hold. */
  get heldBytes(): number {
    return [...this.#callers.values()].reduce((sum, { heldBytes }) => sum + heldBytes, 0);
  }

  serve(channel: Channel): void {
    const token = `s${this.#callerCount++}`;
    const caller = new Caller(token, this.#engine, this.#limits, this);
    this.#callers.set(token, caller);
    const leave = (): void => {
      this.#callers.delete(token);
      void caller.leave();
    };
    channel.onMessage((value) => {
      caller
        .receive(value, (reply) => channel.send(reply))
        .catch((error: unknown) => {
          channel.send({ type: "refused", error: toErrorRecord(error) } satisfies HostMessage);
          leave();
          void channel.close();
        });
    });
    channel.onLost(leave);
    channel.onClosed(leave);
  }

  /** Tagged tensors of all callers, with the references by which any caller may use them. */
  tagged(): {
    readonly id: Reference;
    readonly tensor: TensorValue;
    readonly tags: readonly string[];
  }[] {
    return [...this.#callers.values()].flatMap((caller) => caller.tagged());
  }
}

/** What one caller has, and its messages one after the other. */
class Caller {
  readonly #token: string;
  readonly #engine: Engine;
  readonly #limits: HostLimits;
  readonly #host: PlanHost;
  readonly #entries = new Map<Reference, Entry>();
  heldBytes = 0;
  #last: Promise<unknown> = Promise.resolve();
  #hasLeft = false;

  constructor(token: string, engine: Engine, limits: HostLimits, host: PlanHost) {
    this.#token = token;
    this.#engine = engine;
    this.#limits = limits;
    this.#host = host;
  }

  /** Handles a message when all before it are done. @throws {PsgdError} WIRE_MALFORMED */
  async receive(value: unknown, reply: (message: HostMessage) => void): Promise<void> {
    const message = readCallerMessage(value);
    const handled = this.#last.then(() =>
      this.#hasLeft ? undefined : this.#handle(message, reply),
    );
    this.#last = handled.catch(() => {});
    return handled;
  }

  async leave(): Promise<void> {
    this.#hasLeft = true;
    await this.#last;
    for (const id of [...this.#entries.keys()]) this.#free(id);
  }

  tagged(): ReturnType<PlanHost["tagged"]> {
    return [...this.#entries].flatMap(([id, entry]) =>
      entry.kind === "tensor" && entry.tags.length > 0
        ? [{ id: `${this.#token}:${id}`, tensor: entry.tensor, tags: entry.tags }]
        : [],
    );
  }

  async #handle(message: CallerMessage, reply: (message: HostMessage) => void): Promise<void> {
    switch (message.type) {
      case "put":
        this.#keep(message.id, () => ({
          kind: "tensor",
          tensor: requireTensor(message.tensor, "put"),
          tags: message.tags,
        }));
        return;
      case "plan": {
        const entry = await this.#compile(message.plan, message.state).catch(failed);
        this.#keep(message.id, () => entry);
        return;
      }
      case "run":
        this.#run(message);
        return;
      case "get":
        reply(this.#get(message));
        return;
      case "search": {
        const { request, tags } = message;
        const entries = this.#host
          .tagged()
          .filter((entry) => tags.every((tag) => entry.tags.includes(tag)))
          .map(({ id, tags: all, tensor: { shape, dtype } }) => ({ id, shape, dtype, tags: all }));
        reply({ type: "found", request, entries });
        return;
      }
      case "free":
        for (const id of message.ids) this.#free(id);
    }
  }

  async #compile(candidate: Plan, state: Float32Array): Promise<Entry> {
    const plan = validatePlan(candidate);
    if (plan.layout.size > 0) {
      throw new PsgdError(
        "PLAN_INVALID",
        `plan \`${plan.name}\`: expected a plan without parameters, got ${plan.layout.size}; make them its state`,
      );
    }
    if (state.length !== plan.state.layout.size) {
      throw new PsgdError(
        "SHAPE_MISMATCH",
        `state of plan \`${plan.name}\`: expected ${plan.state.layout.size} values, got ${state.length}`,
      );
    }
    const { flops, bytes } = estimateCost(plan);
    this.#requireRoom(bytes, `a run of plan \`${plan.name}\``);
    if (flops > this.#limits.flopsPerRun) {
      throw new PsgdError(
        "PLAN_INVALID",
        `plan \`${plan.name}\`: expected at most ${this.#limits.flopsPerRun} operations in a run, got about ${flops}; ` +
          "divide it, or ask whoever runs the worker",
      );
    }
    const executable = await this.#engine.compile(plan);
    return { kind: "plan", plan, executable, state, nextState: state.slice(), runCount: 0 };
  }

  #run({ plan: planId, inputs, outputs }: Extract<CallerMessage, { type: "run" }>): void {
    let results: readonly Entry[];
    try {
      const entry = this.#find(planId);
      if (entry.kind === "failed") throw fromErrorRecord(entry.error);
      if (entry.kind !== "plan") throw gone(planId, "a plan, got a tensor");
      results = this.#results(entry, inputs, outputs.length);
    } catch (error) {
      results = outputs.map(() => failed(error));
    }
    outputs.forEach((id, index) => this.#keep(id, () => results[index]!));
  }

  #results(entry: PlanEntry, inputs: readonly Reference[], wanted: number): readonly Entry[] {
    const { plan, executable } = entry;
    if (inputs.length !== plan.inputs.length || wanted !== plan.outputs.length) {
      throw new PsgdError(
        "SHAPE_MISMATCH",
        `plan \`${plan.name}\`: expected ${plan.inputs.length} arguments for ${plan.outputs.length} results, ` +
          `got ${inputs.length} for ${wanted}`,
      );
    }
    const feeds: Record<string, PlanArray> = {};
    plan.inputs.forEach(({ name, value }, index) => {
      const { tensor } = this.#tensor(inputs[index]!);
      const expected = plan.values[value]!;
      if (describe(tensor) !== describe(expected)) {
        throw new PsgdError(
          "SHAPE_MISMATCH",
          `plan \`${plan.name}\`: expected ${describe(expected)} as \`${name}\`, got ${describe(tensor)}; ` +
            "build the plan for this shape, or send a tensor of the other",
        );
      }
      feeds[name] = tensor.data;
    });
    const given = executable.run(feeds, NO_PARAMETERS, undefined, {
      state: entry.state,
      nextState: entry.nextState,
      noiseSeed: 0,
      noiseStep: entry.runCount++,
    });
    [entry.state, entry.nextState] = [entry.nextState, entry.state];
    return plan.outputs.map(({ name, value }) => {
      const { shape, dtype } = plan.values[value]!;
      // The engine writes into the same memory at the next run.
      return { kind: "tensor", tensor: { shape, dtype, data: given[name]!.slice() }, tags: [] };
    });
  }

  #get({ request, id }: Extract<CallerMessage, { type: "get" }>): HostMessage {
    try {
      return { type: "value", request, tensor: this.#tensor(id).tensor };
    } catch (error) {
      return { type: "failed", request, error: toErrorRecord(error) };
    }
  }

  #tensor(id: Reference): Extract<Entry, { kind: "tensor" }> {
    const entry = this.#find(id);
    if (entry.kind === "failed") throw fromErrorRecord(entry.error);
    if (entry.kind === "plan") throw gone(id, "a tensor, got a plan");
    return entry;
  }

  #find(id: Reference): Entry {
    if (id.includes(":")) {
      const found = this.#host.tagged().find((entry) => entry.id === id);
      if (found === undefined) throw gone(id);
      return { kind: "tensor", ...found };
    }
    const entry = this.#entries.get(id);
    if (entry === undefined) throw gone(id);
    return entry;
  }

  /** Keeps what `make` gives, or why it could not be kept. */
  #keep(id: Reference, make: () => Entry): void {
    let entry: Entry;
    try {
      if (this.#entries.has(id)) throw gone(id, "an id that is free, got one in use");
      entry = make();
      this.#requireRoom(bytesOf(entry), "what was sent");
    } catch (error) {
      entry = failed(error);
    }
    this.#free(id);
    this.#entries.set(id, entry);
    this.heldBytes += bytesOf(entry);
  }

  #free(id: Reference): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    if (entry.kind === "plan") entry.executable.dispose();
    this.#entries.delete(id);
    this.heldBytes -= bytesOf(entry);
  }

  #requireRoom(bytes: number, what: string): void {
    const { callerBytes, totalBytes } = this.#limits;
    const room = Math.min(callerBytes - this.heldBytes, totalBytes - this.#host.heldBytes);
    if (bytes <= room) return;
    throw new PsgdError(
      "PAYLOAD_TOO_LARGE",
      `${what}: expected at most ${Math.max(0, room)} bytes more, got ${bytes}; free what is not needed`,
    );
  }
}

const NO_PARAMETERS = new Float32Array(0);

function bytesOf(entry: Entry): number {
  if (entry.kind === "tensor") return entry.tensor.data.byteLength;
  if (entry.kind === "failed") return 0;
  const constants = entry.plan.constants.reduce((sum, { data }) => sum + data.byteLength, 0);
  return constants + 2 * entry.state.byteLength;
}

function failed(error: unknown): Entry {
  return { kind: "failed", error: toErrorRecord(error) };
}

function gone(id: Reference, instead = "something that the worker holds, got nothing"): PsgdError {
  return new PsgdError(
    "POINTER_GONE",
    `pointer ${id}: expected ${instead}; it was freed or fetched, or its owner has left`,
  );
}

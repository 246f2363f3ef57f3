import { PsgdError, toErrorRecord, type Logger } from "@psgd/core";
import type { Link } from "@psgd/transport";
import type { WorkerReply } from "./worker-protocol.js";

/** A process that serves plans at an address until it is stopped. */
export interface PlanProcess {
  /** Resolves when it listens. */
  readonly ready: Promise<void>;
  stop(): void;
}

/** Starts one. @param onExit - called once, when it has ended; says how */
export type StartPlanProcess = (address: string, onExit: (reason: string) => void) => PlanProcess;

interface Running {
  readonly address: string;
  readonly process: PlanProcess;
}

/**
 * The plans that callers send to this worker run in one process beside it, which starts with the first caller and ends
 * with the last: whatever a plan does to it, the worker goes on, and the next caller gets a new one.
 */
export class PlanService {
  readonly #address: string;
  readonly #start: StartPlanProcess;
  readonly #log: Logger;
  readonly #callers = new Set<Link>();
  #process: Running | undefined;
  #startCount = 0;

  constructor(options: { address: string; start: StartPlanProcess; log: Logger }) {
    this.#address = options.address;
    this.#start = options.start;
    this.#log = options.log;
  }

  /** Tells the caller where its plans are served, and when that ends. */
  async attach(caller: Link): Promise<void> {
    this.#callers.add(caller);
    const { address, process } = (this.#process ??= this.#started());
    await process.ready;
    if (this.#callers.has(caller)) reply(caller, { type: "plansReady", address });
  }

  forget(caller: Link): void {
    this.#callers.delete(caller);
    if (this.#callers.size === 0) this.stop();
  }

  stop(): void {
    this.#process?.process.stop();
    // Who comes while it ends gets another.
    this.#process = undefined;
  }

  #started(): Running {
    // Another address each time: nothing that is still on its way to the last one shall reach the next.
    const address = `${this.#address}.${this.#startCount++}`;
    return { address, process: this.#start(address, (reason) => this.#end(address, reason)) };
  }

  #end(address: string, reason: string): void {
    if (this.#process?.address !== address) return;
    this.#process = undefined;
    if (this.#callers.size === 0) return;
    this.#log.warn(`The process of the plans has ended: ${reason}.`);
    const error = new PsgdError(
      "WORKER_LOST",
      `plans: expected the process that runs them to go on, got its end: ${reason}; ` +
        "what it held is lost; connect again, and send smaller plans if it ran out of memory",
    );
    for (const caller of this.#callers) {
      reply(caller, { type: "plansEnded", error: toErrorRecord(error) });
    }
    this.#callers.clear();
  }
}

function reply(caller: Link, message: WorkerReply): void {
  if (!caller.isClosed) caller.send(message);
}

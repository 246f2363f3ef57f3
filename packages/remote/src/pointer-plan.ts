import type { Reference } from "./messages.js";
import type { Pointer } from "./pointer.js";
import type { RemoteWorker } from "./remote-worker.js";

/** A plan that lies on a worker. */
export class PointerPlan {
  /** Number of the plan here. */
  readonly planId: number;
  readonly worker: RemoteWorker;
  readonly #id: Reference;
  readonly #resultCount: number;

  constructor(
    worker: RemoteWorker,
    id: Reference,
    plan: { readonly planId: number; readonly resultCount: number },
  ) {
    this.planId = plan.planId;
    this.worker = worker;
    this.#id = id;
    this.#resultCount = plan.resultCount;
  }

  /**
   * Runs it on tensors of the same worker. Nothing is waited for: the next call may go to another worker meanwhile.
   * @returns a pointer to the result
   * @throws {PsgdError} POINTER_GONE if an argument lies elsewhere
   */
  run(...args: readonly Pointer[]): Pointer {
    return this.runAll(...args)[0]!;
  }

  /** As {@link run}, of a plan with several results. */
  runAll(...args: readonly Pointer[]): Pointer[] {
    return this.worker.run(this.#id, args, this.#resultCount);
  }

  /** Lets the worker forget the plan. */
  free(): void {
    this.worker.release(this.#id);
  }

  toString(): string {
    return `[PointerPlan | me:${this.planId} -> ${this.worker.name}:${this.#id}]`;
  }
}

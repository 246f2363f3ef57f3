import type { PlanValue } from "@psgd/core";
import type { Reference } from "./messages.js";
import type { TensorValue } from "./tensor-value.js";

/** What a pointer needs of the worker that it points to. */
export interface PointerHome {
  readonly name: string;
  fetch(id: Reference): Promise<TensorValue>;
  release(id: Reference): void;
}

/**
 * A tensor that lies on a worker, or will: a pointer to a result is there before the result is. What went wrong on the
 * way to it is thrown by {@link get}.
 */
export class Pointer {
  readonly worker: PointerHome;
  readonly id: Reference;
  /** What the tensor was tagged with. */
  readonly tags: readonly string[];
  /** Shape and type, where they are known here. */
  readonly value: PlanValue | undefined;

  /** @param details - `isOwn`: whether this caller may free it */
  constructor(
    worker: PointerHome,
    id: Reference,
    details: { readonly tags?: readonly string[]; readonly value?: PlanValue } = {},
  ) {
    this.worker = worker;
    this.id = id;
    this.tags = details.tags ?? [];
    this.value = details.value;
  }

  /**
   * Fetches the tensor. One of our own is not kept on the worker any longer, as a pointer has done its work then.
   * @throws {PsgdError} what went wrong while it was made; POINTER_GONE; WORKER_LOST
   */
  async get(): Promise<TensorValue> {
    const tensor = await this.worker.fetch(this.id);
    this.free();
    return tensor;
  }

  /** Lets the worker forget the tensor; of somebody else's only this pointer ends. */
  free(): void {
    this.worker.release(this.id);
  }

  toString(): string {
    const tags = this.tags.length === 0 ? "" : ` | tags: ${this.tags.join(", ")}`;
    return `[Pointer | me:${this.id} -> ${this.worker.name}:${this.id}${tags}]`;
  }
}

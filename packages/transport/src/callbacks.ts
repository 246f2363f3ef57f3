/**
 * Calls a callback of somebody else's. What it throws is a bug there and must not stop the reader that serves everybody,
 * so it becomes a warning of the process.
 */
export function callSafely<A extends readonly unknown[]>(
  callback: (...args: A) => void,
  ...args: A
): void {
  try {
    callback(...args);
  } catch (error) {
    process.emitWarning(error instanceof Error ? error : String(error), "CallbackThrew");
  }
}

/** Callbacks of one event, in the order in which they were added. */
export class Callbacks<A extends readonly unknown[]> {
  readonly #callbacks = new Set<{ readonly call: (...args: A) => void }>();

  /** @returns removes it */
  add(callback: (...args: A) => void): () => void {
    const entry = { call: callback };
    this.#callbacks.add(entry);
    return () => {
      this.#callbacks.delete(entry);
    };
  }

  call(...args: A): void {
    for (const entry of [...this.#callbacks]) callSafely(entry.call, ...args);
  }
}

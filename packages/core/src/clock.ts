/** Time. Production code reads it nowhere else, so that a simulated cluster runs the same code under virtual time. */
export interface Clock {
  /** Monotonic milliseconds since an arbitrary origin. */
  now(): number;
  /** The date, for names and displays only: no decision may depend on it. */
  wallTime(): Date;
  /** Calls back once after `ms` milliseconds. @returns cancels it; harmless afterwards */
  setTimer(ms: number, callback: () => void): () => void;
  /** Resolves once everything that waits for the event loop (frames, timers that are due) has had its turn. */
  nextTurn(): Promise<void>;
}

/** Resolves after `ms` milliseconds; rejects with the signal's reason if that fires first. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(asError(signal.reason));
      return;
    }
    const onAbort = (): void => {
      cancel();
      reject(asError(signal?.reason));
    };
    const cancel = clock.setTimer(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * Resolves like `promise`, or rejects with `error` after `ms` milliseconds. Make the error where the wait
 * starts, so that its stack shows the caller.
 */
export function withDeadline<T>(
  clock: Clock,
  promise: PromiseLike<T>,
  ms: number,
  error: Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.setTimer(ms, () => reject(error));
    promise.then(
      (value) => {
        cancel();
        resolve(value);
      },
      (reason: unknown) => {
        cancel();
        reject(asError(reason));
      },
    );
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

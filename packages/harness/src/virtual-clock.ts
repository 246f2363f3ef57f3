import type { Clock } from "@psgd/core";

interface Timer {
  readonly dueAt: number;
  readonly order: number;
  readonly callback: () => void;
}

/**
 * A clock that stands still until it is told to go. Timers fire in order of their time, then of their making; between
 * two of them everything that promises can do is done, so a run under this clock repeats exactly.
 */
export class VirtualClock implements Clock {
  readonly #timers = new Set<Timer>();
  #now = 0;
  #nextOrder = 0;
  #turnsAwaited = 0;

  now(): number {
    return this.#now;
  }

  wallTime(): Date {
    return new Date(this.#now);
  }

  setTimer(ms: number, callback: () => void): () => void {
    const timer = { dueAt: this.#now + Math.max(0, ms), order: this.#nextOrder++, callback };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  async nextTurn(): Promise<void> {
    this.#turnsAwaited++;
    await turn();
    this.#turnsAwaited--;
  }

  /** Timers that are set: what is left when everything is closed was leaked. */
  get pendingTimerCount(): number {
    return this.#timers.size;
  }

  /** Lets `ms` milliseconds pass. */
  async advance(ms: number): Promise<void> {
    const endsAt = this.#now + ms;
    await this.#settle();
    for (;;) {
      const next = this.#next();
      if (next === undefined || next.dueAt > endsAt) break;
      await this.#fire(next);
    }
    this.#now = endsAt;
  }

  /**
   * Lets time pass until the promise settles, and returns what it resolves to.
   * @throws what the promise rejects with
   * @throws {Error} if it has not settled after `limitMs`, or nothing is left that could settle it
   */
  async run<T>(promise: PromiseLike<T>, limitMs = 3_600_000): Promise<T> {
    const endsAt = this.#now + limitMs;
    const outcome = { settled: false };
    const mark = (): void => {
      outcome.settled = true;
    };
    promise.then(mark, mark);
    await this.#settle();
    while (!outcome.settled) {
      const next = this.#next();
      if (next === undefined) throw new Error("nothing is left that could settle the promise");
      if (next.dueAt > endsAt) throw new Error(`the promise is not settled after ${limitMs} ms`);
      await this.#fire(next);
    }
    return promise;
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (next === undefined || timer.dueAt < next.dueAt) next = timer;
    }
    return next;
  }

  async #fire(timer: Timer): Promise<void> {
    this.#timers.delete(timer);
    this.#now = timer.dueAt;
    timer.callback();
    await this.#settle();
  }

  /** Until nobody waits for anything but time. */
  async #settle(): Promise<void> {
    do await turn();
    while (this.#turnsAwaited > 0);
  }
}

/** Resolves when the microtasks that are there, and those they start, are done. */
function turn(): Promise<void> {
  // eslint-disable-next-line no-restricted-globals -- a clock must ask the machine; this orders, it does not measure
  return new Promise((resolve) => setImmediate(resolve));
}

import type { Clock } from "@psgd/core";

/** Time that passes when a test says so: all timers ring at once. */
export class HandClock implements Clock {
  #timers: (() => void)[] = [];

  now(): number {
    return 0;
  }
  wallTime(): Date {
    return new Date(0);
  }
  setTimer(_ms: number, callback: () => void): () => void {
    this.#timers.push(callback);
    return () => {
      this.#timers = this.#timers.filter((timer) => timer !== callback);
    };
  }
  nextTurn(): Promise<void> {
    return Promise.resolve();
  }
  /** Timers that are set. */
  get timerCount(): number {
    return this.#timers.length;
  }
  ring(): void {
    for (const timer of this.#timers.splice(0)) timer();
  }
}

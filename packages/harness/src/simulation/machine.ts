import type { Clock } from "@psgd/core";
import type { Scheduler } from "./scheduler.js";

/**
 * The machine that a node runs on: it can be paused and switched off, and its clock shows something of its own. While
 * it is paused nothing happens on it; what was due then happens when it goes on.
 */
export class Machine implements Clock {
  readonly #scheduler: Scheduler;
  readonly #clockOffsetMs: number;
  #pausedUntilMs = 0;
  #isOff = false;
  #pendingTimerCount = 0;

  constructor(scheduler: Scheduler, clockOffsetMs: number) {
    this.#scheduler = scheduler;
    this.#clockOffsetMs = clockOffsetMs;
  }

  now(): number {
    return this.#scheduler.nowMs + this.#clockOffsetMs;
  }

  wallTime(): Date {
    return new Date(this.now());
  }

  setTimer(ms: number, callback: () => void): () => void {
    let isPending = true;
    this.#pendingTimerCount++;
    const end = (): void => {
      if (isPending) this.#pendingTimerCount--;
      isPending = false;
    };
    const cancel = this.#scheduler.after(Math.max(0, ms), () =>
      this.do(() => {
        if (!isPending) return;
        end();
        callback();
      }),
    );
    return () => {
      cancel();
      end();
    };
  }

  nextTurn(): Promise<void> {
    return new Promise((resolve) => void this.setTimer(0, resolve));
  }

  /** Timers that are set: what is left when everything is closed was leaked. */
  get pendingTimerCount(): number {
    return this.#pendingTimerCount;
  }

  get isOff(): boolean {
    return this.#isOff;
  }

  get isPaused(): boolean {
    return this.#pausedUntilMs > this.#scheduler.nowMs;
  }

  /** Does something on this machine: now, when it goes on, or never. */
  do(work: () => void): void {
    if (this.#isOff) return;
    if (this.isPaused)
      this.#scheduler.after(this.#pausedUntilMs - this.#scheduler.nowMs, () => this.do(work));
    else work();
  }

  pause(ms: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.#scheduler.nowMs + ms);
  }

  switchOff(): void {
    this.#isOff = true;
  }
}

import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { sleep, withDeadline, type Clock } from "./clock.js";

/** A clock that stands still until it is told the time. */
class HandClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ due: number; callback: () => void }>();

  now(): number {
    return this.#now;
  }

  wallTime(): Date {
    return new Date(this.#now);
  }

  setTimer(ms: number, callback: () => void): () => void {
    const timer = { due: this.#now + ms, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  nextTurn(): Promise<void> {
    return Promise.resolve();
  }

  get timerCount(): number {
    return this.#timers.size;
  }

  async advance(ms: number): Promise<void> {
    this.#now += ms;
    for (const timer of this.#timers) {
      if (timer.due > this.#now) continue;
      this.#timers.delete(timer);
      timer.callback();
    }
    // Lets what waited for the timers run.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** How a promise stands, without waiting for it. */
function watch(promise: Promise<unknown>): { state: string } {
  const watched = { state: "pending" };
  promise.then(
    (value) => (watched.state = `resolved: ${String(value)}`),
    (error: unknown) => (watched.state = `rejected: ${(error as Error).message}`),
  );
  return watched;
}

describe("sleep", () => {
  it("ends after its time, and not before", async () => {
    const clock = new HandClock();
    const slept = watch(sleep(clock, 100));
    await clock.advance(99);
    expect(slept.state).toBe("pending");
    await clock.advance(1);
    expect(slept.state).toBe("resolved: undefined");
  });

  it("ends with the signal's reason, and leaves no timer behind", async () => {
    const clock = new HandClock();
    const controller = new AbortController();
    const slept = watch(sleep(clock, 100, controller.signal));
    controller.abort(new Error("stopped"));
    await clock.advance(0);
    expect(slept.state).toBe("rejected: stopped");
    expect(clock.timerCount).toBe(0);
  });

  it("does not begin if the signal has fired", async () => {
    const clock = new HandClock();
    const slept = watch(sleep(clock, 100, AbortSignal.abort("no error object")));
    await clock.advance(0);
    expect(slept.state).toBe("rejected: no error object");
    expect(clock.timerCount).toBe(0);
  });

  it("does not mind a signal that fires afterwards", async () => {
    const clock = new HandClock();
    const controller = new AbortController();
    const slept = watch(sleep(clock, 10, controller.signal));
    await clock.advance(10);
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
    controller.abort(new Error("too late"));
    await clock.advance(0);
    expect(slept.state).toBe("resolved: undefined");
  });
});

describe("withDeadline", () => {
  it("passes on what comes in time, value or error, and leaves no timer behind", async () => {
    const clock = new HandClock();
    const late = new Error("late");
    const value = watch(withDeadline(clock, Promise.resolve(5), 100, late));
    const error = watch(withDeadline(clock, Promise.reject(new Error("own")), 100, late));
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what others' code may do
    const text = watch(withDeadline(clock, Promise.reject("text"), 100, late));
    await clock.advance(0);
    expect([value.state, error.state, text.state]).toEqual([
      "resolved: 5",
      "rejected: own",
      "rejected: text",
    ]);
    expect(clock.timerCount).toBe(0);
  });

  it("rejects with the given error after the deadline, whatever comes later", async () => {
    const clock = new HandClock();
    let resolve: (value: number) => void = () => {};
    const promise = new Promise<number>((done) => (resolve = done));
    const watched = watch(withDeadline(clock, promise, 100, new Error("late")));
    await clock.advance(99);
    expect(watched.state).toBe("pending");
    await clock.advance(1);
    resolve(5);
    await clock.advance(0);
    expect(watched.state).toBe("rejected: late");
  });
});

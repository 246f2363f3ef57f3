import type { Clock } from "@psgd/core";

/** The machine's own clock, for tests that need real processes. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  wallTime: () => new Date(),
  setTimer: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  nextTurn: () => new Promise((resolve) => setImmediate(resolve)),
};

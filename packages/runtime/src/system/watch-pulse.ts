import { systemClock } from "./system-clock.js";

const LOOK_MS = 500;

/**
 * Calls back once if a counter that another thread moves on, once moved, stands still for longer than `timeoutMs`. Looks are
 * counted, and no time is taken: a machine that slept must not seem stuck.
 * @returns stops watching
 */
export function watchPulse(pulse: Int32Array, timeoutMs: number, onStuck: () => void): () => void {
  let last = 0;
  let looksWithoutMove = 0;
  let cancel = (): void => {};
  const look = (): void => {
    const current = Atomics.load(pulse, 0);
    looksWithoutMove = current !== 0 && current === last ? looksWithoutMove + 1 : 0;
    last = current;
    if (looksWithoutMove * LOOK_MS > timeoutMs) onStuck();
    else cancel = systemClock.setTimer(LOOK_MS, look);
  };
  look();
  return () => cancel();
}

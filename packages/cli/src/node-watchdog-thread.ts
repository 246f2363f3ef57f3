/** The watchdog's thread. It imports nothing of ours: every node's process starts one, and would load all of it twice. */
import { writeSync } from "node:fs";
import { isMainThread, workerData } from "node:worker_threads";

export interface WatchdogData {
  /** One counter, moved on by the main thread while it lives. */
  readonly pulse: Int32Array;
  readonly timeoutMs: number;
  /** The line of the event that says that time is up. */
  readonly lastWords: string;
}

export const PULSE_MS = 500;

if (!isMainThread) watch(workerData as WatchdogData);

function watch({ pulse, timeoutMs, lastWords }: WatchdogData): void {
  const daemon = process.ppid;
  let last = -1;
  let movedAt = performance.now();
  const look = (): void => {
    const now = performance.now();
    const current = Atomics.load(pulse, 0);
    if (current !== last) movedAt = now;
    last = current;
    if (now - movedAt > timeoutMs) report(lastWords);
    // A process whose daemon has died is handed to another parent; the main thread, if it can, has ended by then.
    if (process.ppid !== daemon && now - movedAt > 4 * PULSE_MS)
      process.kill(process.pid, "SIGKILL");
    setTimeout(look, PULSE_MS);
  };
  look();
}

function report(lastWords: string): void {
  try {
    writeSync(3, lastWords);
  } finally {
    process.kill(process.pid, "SIGKILL");
  }
}

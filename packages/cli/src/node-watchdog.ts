/**
 * Watches over a node's process from a thread of its own, because a codec that never returns keeps the main thread
 * from noticing anything: neither that time is up nor that its daemon is gone.
 */
import { Worker } from "node:worker_threads";
import { toErrorRecord, type NodeId } from "@psgd/core";
import { stuckNodeError, systemClock, type NodeEvent } from "@psgd/runtime";
import { PULSE_MS, type WatchdogData } from "./node-watchdog-thread.js";

/** Starts watching the calling thread. */
export function startWatchdog(nodeId: NodeId, timeoutMs: number): void {
  const pulse = new Int32Array(new SharedArrayBuffer(4));
  const stuck: NodeEvent = {
    type: "dying",
    error: toErrorRecord(stuckNodeError(nodeId, timeoutMs)),
  };
  const data: WatchdogData = { pulse, timeoutMs, lastWords: `${JSON.stringify(stuck)}\n` };
  new Worker(new URL("./node-watchdog-thread.js", import.meta.url), { workerData: data }).unref();
  const beat = (): void => {
    Atomics.add(pulse, 0, 1);
    systemClock.setTimer(PULSE_MS, beat);
  };
  beat();
}

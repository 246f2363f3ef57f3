/**
 * Watches over a node's process from a thread of its own, because a codec that never returns keeps the main thread
 * from noticing anything: neither that time is up nor that its daemon is gone.
 */
import { writeSync } from "node:fs";
import { Worker, isMainThread, workerData } from "node:worker_threads";
import { toErrorRecord, type NodeId, type PsgdError } from "@psgd/core";
import { stuckNodeError, systemClock, type NodeEvent } from "@psgd/runtime";

interface WatchdogData {
  readonly nodeId: NodeId;
  /** One counter, moved on by the main thread while it lives. */
  readonly pulse: Int32Array;
  readonly timeoutMs: number;
}

const PULSE_MS = 500;

/** Starts watching the calling thread. */
export function startWatchdog(nodeId: NodeId, timeoutMs: number): void {
  const pulse = new Int32Array(new SharedArrayBuffer(4));
  const data: WatchdogData = { nodeId, pulse, timeoutMs };
  new Worker(new URL(import.meta.url), { workerData: data }).unref();
  const beat = (): void => {
    Atomics.add(pulse, 0, 1);
    systemClock.setTimer(PULSE_MS, beat);
  };
  beat();
}

if (!isMainThread && isWatchdogData(workerData)) watch(workerData);

function watch({ nodeId, pulse, timeoutMs }: WatchdogData): void {
  const daemon = process.ppid;
  let last = -1;
  let movedAt = systemClock.now();
  const look = (): void => {
    const now = systemClock.now();
    const current = Atomics.load(pulse, 0);
    if (current !== last) movedAt = now;
    last = current;
    if (now - movedAt > timeoutMs) report(stuckNodeError(nodeId, timeoutMs));
    // A process whose daemon has died is handed to another parent; the main thread, if it can, has ended by then.
    if (process.ppid !== daemon && now - movedAt > 4 * PULSE_MS)
      process.kill(process.pid, "SIGKILL");
    systemClock.setTimer(PULSE_MS, look);
  };
  look();
}

function report(error: PsgdError): void {
  const event: NodeEvent = { type: "dying", error: toErrorRecord(error) };
  try {
    writeSync(3, `${JSON.stringify(event)}\n`);
  } finally {
    process.kill(process.pid, "SIGKILL");
  }
}

function isWatchdogData(value: unknown): value is WatchdogData {
  return typeof value === "object" && value !== null && "pulse" in value && "timeoutMs" in value;
}

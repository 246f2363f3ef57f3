/** The program of one node's thread, for jobs that run in one process. */
import { fromErrorRecord } from "@psgd/core";
import {
  runNode,
  systemClock,
  type NodeCommand,
  type NodeEvent,
  type NodeThreadTask,
} from "@psgd/runtime";
import { memoryTransportOverPort } from "@psgd/transport";
import { nodeWorld } from "./compose.js";

/** What a local job tells its threads about the world. */
export interface NodeThreadConfig {
  readonly workDirectory: string;
}

const PULSE_MS = 250;

/** Runs one node to its end. */
export default async function runNodeThread(task: NodeThreadTask<NodeThreadConfig>): Promise<void> {
  const { assignment, config, control, network, pulse } = task;
  let stopBeating = (): void => {};
  const beat = (): void => {
    Atomics.add(pulse, 0, 1);
    stopBeating = systemClock.setTimer(PULSE_MS, beat);
  };
  beat();
  const abort = new AbortController();
  const transport = memoryTransportOverPort(network);
  try {
    const started = new Promise<void>((resolve) => {
      control.on("message", (command: NodeCommand) => {
        if (command.type === "start") resolve();
        else abort.abort(fromErrorRecord(command.error));
      });
    });
    const emit = (event: NodeEvent): void => control.postMessage(event);
    await runNode(assignment, nodeWorld({ transport, workDirectory: config.workDirectory }), {
      emit,
      started,
      signal: abort.signal,
    });
  } finally {
    stopBeating();
    await transport.close();
    control.close();
  }
}

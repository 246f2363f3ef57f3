import { MessageChannel, type MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";
import { toErrorRecord } from "@psgd/core";
import type { NodeAssignment } from "../job.js";
import type { NodeCommand, NodeEvent } from "../node/node-world.js";
import type { NodeHandle, NodeHost, NodeObserver } from "../node-host.js";
import { stuckNodeError } from "./stuck-node.js";
import { watchPulse } from "./watch-pulse.js";
import { systemClock } from "./system-clock.js";

/** What a node's thread is given. */
export interface NodeThreadTask<Config> {
  readonly assignment: NodeAssignment;
  readonly config: Config;
  /** Commands come in, events go out. */
  readonly control: MessagePort;
  /** Its line to the network. */
  readonly network: MessagePort;
  /** One counter, which the thread moves on while its event loop turns. */
  readonly pulse: Int32Array;
}

/** A thread that was asked to stop and does not is given up after this. */
const GIVE_UP_MS = 2_000;

export interface ThreadNodeHostOptions<Config> {
  /** Module whose default export runs one `NodeThreadTask`. */
  readonly entry: string;
  readonly config: Config;
  readonly threadCount: number;
  readonly nodesPerThread: number;
  /** Connects a port to the network. */
  readonly attach: (port: MessagePort) => void;
}

/**
 * Runs nodes in threads of a pool, for jobs in one process: quick to start, but a node can only be asked to stop
 * (ending a thread inside an engine's native call aborts the whole process). One that does not return is given up: it
 * and those that share its thread have failed, and the thread ends with the process.
 */
export function threadNodeHost<Config>(options: ThreadNodeHostOptions<Config>): NodeHost {
  const pool = new Piscina({
    filename: options.entry,
    minThreads: options.threadCount,
    maxThreads: options.threadCount,
    concurrentTasksPerWorker: options.nodesPerThread,
    idleTimeout: 0,
  });
  let givenUpCount = 0;
  return {
    start(assignment: NodeAssignment, observer: NodeObserver): NodeHandle {
      const control = new MessageChannel();
      const network = new MessageChannel();
      options.attach(network.port1);
      const pulse = new Int32Array(new SharedArrayBuffer(4));
      let isOver = false;
      const finish = (reason: string): void => {
        if (isOver) return;
        isOver = true;
        stopWatching();
        observer.onExit(reason);
      };
      const giveUp = (reason: string): void => {
        if (isOver) return;
        givenUpCount++;
        finish(reason);
      };
      const { codecTimeoutMs } = assignment.spec;
      const stopWatching = watchPulse(pulse, codecTimeoutMs, () => {
        const error = stuckNodeError(assignment.nodeId, codecTimeoutMs);
        observer.onEvent({ type: "dying", error: toErrorRecord(error) });
        giveUp("its thread does not return");
      });
      control.port1.on("message", (event: NodeEvent) => {
        if (!isOver) observer.onEvent(event);
      });
      const task: NodeThreadTask<Config> = {
        assignment,
        pulse,
        config: options.config,
        control: control.port2,
        network: network.port2,
      };
      // The line closes after its last event, whatever the pool says before.
      const closed = new Promise((resolve) => control.port1.once("close", resolve));
      const ended = pool.run(task, { transferList: [control.port2, network.port2] }).then(
        () => "its thread ended",
        (error: unknown) => {
          control.port1.close();
          return `its thread failed: ${toErrorRecord(error).message}`;
        },
      );
      void Promise.all([ended, closed]).then(([reason]) => finish(reason));
      const send = (command: NodeCommand): void => control.port1.postMessage(command);
      const error = toErrorRecord(new Error("its worker asked it to stop at once"));
      const kill = (): void => {
        send({ type: "stop", error });
        systemClock.setTimer(GIVE_UP_MS, () => giveUp("its thread does not stop"));
      };
      return { send, kill };
    },
    async close() {
      // The pool would wait for threads that never end.
      if (givenUpCount === 0) await pool.close();
    },
  };
}

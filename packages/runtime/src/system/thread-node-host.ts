import { once } from "node:events";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";
import { toErrorRecord } from "@psgd/core";
import type { NodeAssignment } from "../job.js";
import type { NodeCommand, NodeEvent } from "../node/node-world.js";
import type { NodeHandle, NodeHost, NodeObserver } from "../node-host.js";

/** What a node's thread is given. */
export interface NodeThreadTask<Config> {
  readonly assignment: NodeAssignment;
  readonly config: Config;
  /** Commands come in, events go out. */
  readonly control: MessagePort;
  /** Its line to the network. */
  readonly network: MessagePort;
}

export interface ThreadNodeHostOptions<Config> {
  /** Module whose default export runs one `NodeThreadTask`. */
  readonly entry: string;
  readonly config: Config;
  readonly maxThreads: number;
  /** Connects a port to the network. */
  readonly attach: (port: MessagePort) => void;
}

/**
 * Runs each node as a thread of a pool, for jobs in one process: quick to start, but a node can only be asked to stop
 * (ending a thread inside an engine's native call aborts the whole process).
 */
export function threadNodeHost<Config>(options: ThreadNodeHostOptions<Config>): NodeHost {
  const pool = new Piscina({
    filename: options.entry,
    minThreads: 0,
    maxThreads: options.maxThreads,
    concurrentTasksPerWorker: 1,
    idleTimeout: 0,
  });
  return {
    start(assignment: NodeAssignment, observer: NodeObserver): NodeHandle {
      const control = new MessageChannel();
      const network = new MessageChannel();
      options.attach(network.port1);
      control.port1.on("message", (event: NodeEvent) => observer.onEvent(event));
      const task: NodeThreadTask<Config> = {
        assignment,
        config: options.config,
        control: control.port2,
        network: network.port2,
      };
      // The thread closes its end last, so all its events have come by then; its end itself may be known before.
      const closed = once(control.port1, "close");
      const finish = async (reason: string): Promise<void> => {
        await closed;
        observer.onExit(reason);
      };
      pool.run(task, { transferList: [control.port2, network.port2] }).then(
        () => finish("its thread ended"),
        (error: unknown) => finish(`its thread failed: ${toErrorRecord(error).message}`),
      );
      const send = (command: NodeCommand): void => control.port1.postMessage(command);
      const error = toErrorRecord(new Error("its worker asked it to stop at once"));
      return { send, kill: () => send({ type: "stop", error }) };
    },
    close: () => pool.close(),
  };
}

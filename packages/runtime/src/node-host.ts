import type { NodeAssignment } from "./job.js";
import type { NodeCommand, NodeEvent } from "./node/node-world.js";

/** One running node, seen from its worker: a process or a thread of its own. */
export interface NodeHandle {
  send(command: NodeCommand): void;
  /** Ends it at once, whatever it does; a host that cannot asks it to stop. */
  kill(): void;
}

/** What a worker wants to hear of a node it runs. */
export interface NodeObserver {
  onEvent(event: NodeEvent): void;
  /** Called once, last: the node is gone. `reason` says how. */
  onExit(reason: string): void;
}

/** Starts nodes. */
export interface NodeHost {
  start(assignment: NodeAssignment, observer: NodeObserver): NodeHandle;
  /** Releases what the host itself holds. */
  close(): Promise<void>;
}

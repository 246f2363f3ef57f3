import { fromErrorRecord } from "@psgd/core";
import {
  runNode,
  type NodeAssignment,
  type NodeHandle,
  type NodeHost,
  type NodeObserver,
  type NodeWorld,
} from "@psgd/runtime";

/** Runs nodes on this event loop; a node that is killed is gone at once and says nothing any more. */
export class InProcessNodeHost implements NodeHost {
  readonly started: NodeAssignment[] = [];
  readonly #running = new Map<number, () => void>();
  readonly #world: (incarnation: number) => NodeWorld;

  constructor(world: (incarnation: number) => NodeWorld) {
    this.#world = world;
  }

  /** Nodes that run now. */
  get count(): number {
    return this.#running.size;
  }

  start(assignment: NodeAssignment, observer: NodeObserver): NodeHandle {
    const incarnation = this.started.push(assignment);
    const world = this.#world(incarnation);
    const abort = new AbortController();
    let start: () => void = () => {};
    const started = new Promise<void>((resolve) => {
      start = resolve;
    });
    const exit = (reason: string): void => {
      if (!this.#running.delete(incarnation)) return;
      void world.transport.close();
      observer.onExit(reason);
    };
    const kill = (): void => exit("it was killed");
    this.#running.set(incarnation, kill);
    void runNode(assignment, world, {
      emit: (event) => {
        if (this.#running.has(incarnation)) observer.onEvent(event);
      },
      started,
      signal: abort.signal,
    }).then(() => exit("it ended"));
    return {
      send: (command) => {
        if (command.type === "start") start();
        else abort.abort(fromErrorRecord(command.error));
      },
      kill,
    };
  }

  /** As a machine that loses its power would. */
  killAll(): void {
    for (const kill of [...this.#running.values()]) kill();
  }

  async close(): Promise<void> {
    this.killAll();
  }
}

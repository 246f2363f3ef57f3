import type { NodeId } from "@psgd/core";

/**
 * Gathers one thing from each node in each step. Steps are kept apart, whatever comes early, late or again: early things
 * wait for their step, which begins when this node adds its own.
 */
export class AllGather<T> {
  readonly #nodes: readonly NodeId[];
  readonly #itemsOfStep = new Map<number, Map<NodeId, T>>();
  #step = -1;
  #isComplete = false;

  constructor(nodes: readonly NodeId[]) {
    this.#nodes = nodes;
  }

  /**
   * Begins a step with this node's own.
   * @returns all, in the order of nodes, if this was the last that was missing
   */
  begin(step: number, nodeId: NodeId, item: T): readonly T[] | undefined {
    for (const earlier of this.#itemsOfStep.keys())
      if (earlier < step) this.#itemsOfStep.delete(earlier);
    this.#step = step;
    this.#isComplete = false;
    return this.add(step, nodeId, item);
  }

  /** Whether it is the first from this node in a step that is not over. */
  isNew(step: number, nodeId: NodeId): boolean {
    if (step < this.#step || (step === this.#step && this.#isComplete)) return false;
    return this.#itemsOfStep.get(step)?.has(nodeId) !== true;
  }

  /** Takes in what came from another node; see `begin` for what it returns. */
  add(step: number, nodeId: NodeId, item: T): readonly T[] | undefined {
    const items = this.#itemsOfStep.get(step) ?? new Map<NodeId, T>();
    this.#itemsOfStep.set(step, items);
    items.set(nodeId, item);
    return this.#completed();
  }

  clear(): void {
    this.#itemsOfStep.clear();
  }

  #completed(): readonly T[] | undefined {
    const items = this.#itemsOfStep.get(this.#step);
    if (this.#isComplete || items?.size !== this.#nodes.length) return undefined;
    this.#itemsOfStep.delete(this.#step);
    this.#isComplete = true;
    return this.#nodes.map((node) => items.get(node)!);
  }
}

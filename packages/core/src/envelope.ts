import type { NodeId } from "./ids.js";

/** A message of a codec: who gets it, and what. Only `content` travels. */
export interface NetEncapsulation<T = unknown> {
  readonly targets: readonly NodeId[];
  readonly content: T;
}

/**
 * Wraps what a codec sends.
 * @param targets - node ids: one, or any iterable of them; none means that nothing is sent
 * @param content - any packable value: numbers, strings, booleans, null, undefined, bigints, typed arrays, and arrays,
 *   plain objects, maps and sets of these; usually `[nodeId, parameters]`. It is copied before `updateBlocks` or
 *   `receiveBlocks` is called again, so the codec may go on using it afterwards.
 */
export function netEncapsulation<T>(
  targets: NodeId | Iterable<NodeId>,
  content: T,
): NetEncapsulation<T> {
  return { targets: isIterable(targets) ? [...targets] : [targets], content };
}

function isIterable(value: unknown): value is Iterable<NodeId> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}

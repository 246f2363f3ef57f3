import { nodeName, type GlobalSettings, type NodeId } from "@psgd/core";
import type { NodeView } from "./simulated-node.js";

/**
 * Says who waits for what: for each waiting node the blocks of its step that no holder has sent it anything about, and,
 * where nodes wait for each other in a ring, the ring.
 */
export function explainWaits(nodes: readonly NodeView[], settings: GlobalSettings): string[] {
  const waiting = nodes.filter(({ isWaiting }) => isWaiting);
  const waitsFor = new Map<NodeId, NodeId[]>();
  const lines = waiting.map((node) => {
    const missing = missingBlocks(node, settings);
    waitsFor.set(
      node.nodeId,
      missing.map(({ holder }) => holder),
    );
    const [first] = missing;
    if (first === undefined)
      return `${nodeName(node.nodeId)} waits in step ${node.step}, though it has heard every node of that step`;
    const more = missing.length === 1 ? "" : ` (and ${missing.length - 1} more)`;
    const heard = node.heard.get(first.holder);
    return (
      `${nodeName(node.nodeId)} waits in step ${node.step} for block ${first.blockId} of ${nodeName(first.holder)}${more}, ` +
      (heard === undefined ? "never heard" : `last heard of step ${heard}`)
    );
  });
  const ring = ringIn(waitsFor);
  if (ring !== undefined) lines.push(`they wait for each other: ${ring.map(nodeName).join(" → ")}`);
  return lines;
}

function missingBlocks(
  node: NodeView,
  settings: GlobalSettings,
): { readonly blockId: number; readonly holder: NodeId }[] {
  return settings.blocks.flatMap((blockId) => {
    const holders = settings.blockToNodes[blockId]!;
    if (holders.includes(node.nodeId)) return [];
    const hasCome = holders.some((holder) => (node.heard.get(holder) ?? -1) >= node.step);
    return hasCome ? [] : [{ blockId, holder: holders[0]! }];
  });
}

/** The first ring that is found, with its first node again at the end. */
function ringIn(waitsFor: ReadonlyMap<NodeId, readonly NodeId[]>): NodeId[] | undefined {
  const search = (path: readonly NodeId[]): NodeId[] | undefined => {
    for (const next of waitsFor.get(path.at(-1)!) ?? []) {
      const start = path.indexOf(next);
      if (start >= 0) return [...path.slice(start), next];
      const found = search([...path, next]);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  for (const node of waitsFor.keys()) {
    const ring = search([node]);
    if (ring !== undefined) return ring;
  }
  return undefined;
}

import { PARAMETER_SERVER, nodeName, type GlobalSettings, type NodeId } from "@psgd/core";

/** Where a node stands, and whom it has heard. */
export interface NodeView {
  readonly nodeId: NodeId;
  readonly step: number;
  readonly isWaiting: boolean;
  /** By peer: the steps it has got messages of. */
  readonly heard: ReadonlyMap<NodeId, ReadonlySet<number>>;
}

/**
 * Says who waits for what. Peer to peer: for each waiting node the blocks of its step that no holder has told it of;
 * with a parameter server: what that has not heard, or not answered. Where nodes wait for each other in a ring, the
 * ring.
 */
export function explainWaits(nodes: readonly NodeView[], settings: GlobalSettings): string[] {
  const server = nodes.find(({ nodeId }) => nodeId === PARAMETER_SERVER);
  const waitsFor = new Map<NodeId, NodeId[]>();
  const lines = nodes
    .filter(({ nodeId, isWaiting }) => isWaiting && nodeId !== PARAMETER_SERVER)
    .map((node) => {
      const where = `${nodeName(node.nodeId)} waits in step ${node.step}`;
      if (server !== undefined) return `${where} ${missingOfServer(node, server, settings)}`;
      const missing = missingBlocks(node, settings);
      waitsFor.set(
        node.nodeId,
        missing.map(({ holder }) => holder),
      );
      const [first] = missing;
      if (first === undefined) return `${where}, though it has heard of every block of that step`;
      const more = missing.length === 1 ? "" : ` (and ${missing.length - 1} more)`;
      const block = `block ${first.blockId} of ${nodeName(first.holder)}${more}`;
      return `${where} for ${block}, ${lastHeard(node, first.holder)}`;
    });
  const ring = ringIn(waitsFor);
  if (ring !== undefined) lines.push(`they wait for each other: ${ring.map(nodeName).join(" → ")}`);
  return lines;
}

function lastHeard(node: NodeView, peer: NodeId): string {
  const steps = node.heard.get(peer);
  return steps === undefined ? "never heard" : `last heard of step ${Math.max(...steps)}`;
}

function missingOfServer(node: NodeView, server: NodeView, { nodes }: GlobalSettings): string {
  const silent = nodes.filter((peer) => server.heard.get(peer)?.has(node.step) !== true);
  return (
    `for the parameter server, ${lastHeard(node, PARAMETER_SERVER)}; that has heard of this step ` +
    (silent.length === 0 ? "from every node" : `nothing from ${silent.map(nodeName).join(", ")}`)
  );
}

function missingBlocks(
  node: NodeView,
  settings: GlobalSettings,
): { readonly blockId: number; readonly holder: NodeId }[] {
  return settings.blocks.flatMap((blockId) => {
    const holders = settings.blockToNodes[blockId]!;
    if (holders.includes(node.nodeId)) return [];
    const hasCome = holders.some((holder) => node.heard.get(holder)?.has(node.step) === true);
    return hasCome ? [] : [{ blockId, holder: holders[0]! }];
  });
}

/** The first ring that is found, with its first node again at the end. */
function ringIn(waitsFor: ReadonlyMap<NodeId, readonly NodeId[]>): NodeId[] | undefined {
  /** From here no ring can be reached. */
  const free = new Set<NodeId>();
  const search = (path: readonly NodeId[]): NodeId[] | undefined => {
    const last = path.at(-1)!;
    if (free.has(last)) return undefined;
    for (const next of waitsFor.get(last) ?? []) {
      const start = path.indexOf(next);
      if (start >= 0) return [...path.slice(start), next];
      const found = search([...path, next]);
      if (found !== undefined) return found;
    }
    free.add(last);
    return undefined;
  };
  for (const node of waitsFor.keys()) {
    const ring = search([node]);
    if (ring !== undefined) return ring;
  }
  return undefined;
}

import {
  Codec,
  PsgdError,
  meanOf,
  netEncapsulation,
  requireCount,
  requireList,
  requireStep,
  type BlockId,
  type BlockWeight,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";

/*
 * Coded distributed computing: with every block computed by r nodes, one message serves r nodes at once, each of which
 * takes something else out of it.
 *
 * Algorithm
 * 1. In a group of r + 1 nodes each misses one block that all others of the group have. That block is cut into r parts, one
 *    for each of these others.
 * 2. Each node sends its group one message: its parts of the blocks that the r others miss, added bit by bit without carry
 *    (exclusive or).
 * 3. A node takes the parts that it knows out again, and is left with a part of what it misses; after the messages of the
 *    r others it has the block. All blocks come to all nodes as they are.
 * 4. It takes their mean, in order of block ids: all have the same bits.
 *
 * Needs: ssgd, as coded parts fit only copies of a block that are alike, bit for bit; redundancy r < n with the assignment
 * `iid`, in which every r nodes have a block in common; no server.
 *
 * Sends: `[node, group, step, part]`: 4d / r · r · (r + 1) · C(n, r + 1) bytes per step over the whole cluster if each receiver is
 * counted, and r times fewer where one message to a group is one message, as with a broker that fans out.
 *
 * State: blocks of the step and parts that came early.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters: none.
 *
 * Source: Li et al. 2018, "A fundamental tradeoff between computation and communication in distributed computing", section
 * V; `ccdc` of Parallel-SGD 0.5, which is known by its name only.
 */

interface Message {
  readonly from: NodeId;
  readonly group: number;
  readonly part: Uint32Array;
}

/** Sends sums that each receiver takes something else out of. */
export class Ccdc extends Codec {
  static override readonly carries = "gradients";

  readonly #groups = groupsOf(this.settings.nodeCount, this.settings.redundancy + 1);
  /** The block that the other nodes of a group have in common, by group and the node that misses it. */
  readonly #missing: readonly ReadonlyMap<NodeId, BlockId>[];
  readonly #partSize = Math.ceil(this.layout.size / this.settings.redundancy);
  /** Blocks of the step, padded to whole parts, as bits. */
  readonly #blocks = new Map<BlockId, Uint32Array>();
  readonly #messages = new Map<number, Message[]>();
  #step = -1;
  #isComplete = false;

  constructor(...context: ConstructorParameters<typeof Codec>) {
    super(...context);
    const { blocks, blockToNodes } = this.settings;
    this.#missing = this.#groups.map((group) => {
      const missing = group.map((node): readonly [NodeId, BlockId] => {
        const others = group.filter((other) => other !== node).join();
        const block = blocks.find((id) => blockToNodes[id].join() === others);
        if (block === undefined) {
          throw new PsgdError(
            "SETTINGS_INVALID",
            `block assignment: expected a block that just nodes ${others} have, got none; codec Ccdc needs \`--block-assignment iid\``,
          );
        }
        return [node, block];
      });
      return new Map(missing);
    });
  }

  override *updateBlocks({ blockId, content, step }: BlockWeight): Generator<NetEncapsulation> {
    if (step !== this.#step) {
      for (const earlier of this.#messages.keys())
        if (earlier < step) this.#messages.delete(earlier);
      this.#blocks.clear();
      this.#step = step;
      this.#isComplete = false;
    }
    const padded = new Float32Array(this.#partSize * this.settings.redundancy);
    padded.set(content);
    this.#blocks.set(blockId, new Uint32Array(padded.buffer));
    if (this.#blocks.size < this.settings.nodeToBlocks[this.nodeId].length) return;
    for (const [index, group] of this.#groups.entries()) {
      if (!group.includes(this.nodeId)) continue;
      const others = group.filter((node) => node !== this.nodeId);
      const coded = new Uint32Array(this.#partSize);
      for (const node of others) this.#mix(coded, index, node, this.nodeId);
      yield netEncapsulation(others, [this.nodeId, index, step, coded]);
    }
    this.#decode();
  }

  override receiveBlocks(content: unknown): void {
    const [from, group, step, part] = requireList(content, 4);
    requireCount(group, "group");
    requireStep(step, this.settings);
    const members = this.#groups.at(group) ?? [];
    const isOfGroup =
      members.includes(this.nodeId) && members.includes(from as NodeId) && from !== this.nodeId;
    if (!isOfGroup || !(part instanceof Uint32Array) || part.length !== this.#partSize) {
      throw new PsgdError(
        "WIRE_MALFORMED",
        `coded part: expected ${this.#partSize} words of another node of a group of this one, got something else of group ${group}`,
      );
    }
    if (step < this.#step) return;
    const ofStep = this.#messages.get(step) ?? [];
    const isKnown = ofStep.some((other) => other.from === from && other.group === group);
    if (!isKnown) ofStep.push({ from: from as NodeId, group, part });
    this.#messages.set(step, ofStep);
    this.#decode();
  }

  override dispose(): void {
    this.#blocks.clear();
    this.#messages.clear();
  }

  /** Adds the part that `sender` has to give of the block that `node` misses, without carry. */
  #mix(to: Uint32Array, group: number, node: NodeId, sender: NodeId): void {
    const block = this.#blocks.get(this.#missing[group].get(node)!)!;
    const start = this.#placeOf(group, node, sender) * this.#partSize;
    for (let i = 0; i < to.length; i++) to[i] ^= block[start + i];
  }

  /** Which part of the block that `node` misses is the sender's: its place among the others of the group. */
  #placeOf(group: number, node: NodeId, sender: NodeId): number {
    return this.#groups[group].filter((other) => other !== node).indexOf(sender);
  }

  /** Once all messages are there. */
  #decode(): void {
    const { settings, nodeId } = this;
    const own = settings.nodeToBlocks[nodeId];
    const messages = this.#messages.get(this.#step) ?? [];
    const groups = this.#groups.filter((group) => group.includes(nodeId));
    if (this.#isComplete || this.#blocks.size < own.length) return;
    if (messages.length < groups.length * settings.redundancy) return;
    const found = new Map(this.#blocks);
    for (const { from, group, part } of messages) {
      for (const node of this.#groups[group])
        if (node !== from && node !== nodeId) this.#mix(part, group, node, from);
      const blockId = this.#missing[group].get(nodeId)!;
      const block = found.get(blockId) ?? new Uint32Array(this.#partSize * settings.redundancy);
      found.set(blockId, block);
      block.set(part, this.#placeOf(group, nodeId, from) * this.#partSize);
    }
    this.#messages.delete(this.#step);
    this.#isComplete = true;
    const { size } = this.layout;
    this.setResult(
      meanOf(settings.blocks.map((id) => new Float32Array(found.get(id)!.buffer, 0, size))),
    );
  }
}

/** All groups of so many of the nodes, in order. */
function groupsOf(nodeCount: number, size: number): readonly (readonly NodeId[])[] {
  const groups: NodeId[][] = [];
  const extend = (group: readonly NodeId[], next: NodeId): void => {
    if (group.length === size) groups.push([...group]);
    else for (let node = next; node < nodeCount; node++) extend([...group, node], node + 1);
  };
  extend([], 0);
  return groups;
}

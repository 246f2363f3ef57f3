import {
  Codec,
  OwnBlocks,
  netEncapsulation,
  requireCount,
  requireList,
  requireStep,
  requireVector,
  type BlockWeight,
  type NetEncapsulation,
} from "@psgd/core";

/*
 * The exact mean over a ring: everybody sends the same little, however many nodes there are.
 *
 * Algorithm
 * 1. Vectors are cut into n chunks. Node i sends chunk i to node i + 1, which adds its own and sends the sum on, and so
 *    on: after n − 1 hops node i has the sum of chunk i + 1 (reduce-scatter).
 * 2. It divides that by n and sends it round; after n − 1 more hops all nodes have all chunks (all-gather).
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; no
 * server.
 *
 * Sends: `[step, hop, chunk]`: 8d · (n − 1) bytes per step over the whole cluster, each node 2 (n − 1) messages of d / n values
 * to the next.
 *
 * State: none; within a step this node's sums, 4d bytes.
 *
 * Error feedback: no, nothing is lost. Each chunk is summed in one order, along the ring, in single precision, and only
 * once: all nodes have the same bits.
 *
 * Parameters: none.
 *
 * Source: Patarasuk & Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations", section 3.
 */

/** Passes sums round a ring. */
export class RingAllReduce extends Codec {
  static override readonly carries = "gradients";

  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  readonly #next = (this.nodeId + 1) % this.settings.nodeCount;
  /** This node's vector, whose chunks become sums and then means; only within a step. */
  #vector: Float32Array | undefined;
  #step = 0;
  /** The hop that the next chunk must come with. */
  #hop = 0;
  /** What has come before its turn, by step and hop. */
  readonly #early = new Map<string, Float32Array>();

  override *updateBlocks(block: BlockWeight): Generator<NetEncapsulation> {
    const vector = this.#ownBlocks.add(block);
    if (vector === undefined) return;
    if (this.settings.nodeCount === 1) {
      this.setResult(vector);
      return;
    }
    this.#vector = vector;
    this.#step = block.step;
    this.#hop = 0;
    yield this.#send(0, this.nodeId);
    yield* this.#takeEarly();
  }

  override *receiveBlocks(content: unknown): Generator<NetEncapsulation> {
    const { nodeCount } = this.settings;
    const [step, hop, chunk] = requireList(content, 3);
    requireStep(step, this.settings);
    requireCount(hop, "hop");
    const place = this.#chunkOf(hop);
    requireVector(chunk, place.end - place.start, `chunk of hop ${hop}`);
    if (hop >= 2 * (nodeCount - 1) || step < this.#step) return;
    this.#early.set(`${step}/${hop}`, chunk);
    yield* this.#takeEarly();
  }

  override dispose(): void {
    this.#ownBlocks.clear();
    this.#early.clear();
  }

  *#takeEarly(): Generator<NetEncapsulation> {
    for (;;) {
      const key = `${this.#step}/${this.#hop}`;
      const chunk = this.#early.get(key);
      if (chunk === undefined || this.#vector === undefined) return;
      this.#early.delete(key);
      yield* this.#take(this.#hop++, chunk);
    }
  }

  *#take(hop: number, chunk: Float32Array): Generator<NetEncapsulation> {
    const { nodeCount } = this.settings;
    const vector = this.#vector!;
    const { index, start } = this.#chunkOf(hop);
    const isReducing = hop < nodeCount - 1;
    if (isReducing) for (let i = 0; i < chunk.length; i++) vector[start + i] += chunk[i];
    else vector.set(chunk, start);
    if (hop === nodeCount - 2)
      for (let i = 0; i < chunk.length; i++) vector[start + i] /= nodeCount;
    if (hop + 1 < 2 * (nodeCount - 1)) {
      yield this.#send(hop + 1, index);
      return;
    }
    this.#vector = undefined;
    this.setResult(vector);
  }

  #send(hop: number, index: number): NetEncapsulation {
    const { start, end } = this.#rangeOf(index);
    return netEncapsulation(this.#next, [this.#step, hop, this.#vector!.slice(start, end)]);
  }

  /** The chunk that comes with a hop: the one that the node before had one hop earlier. */
  #chunkOf(hop: number): { index: number; start: number; end: number } {
    const { nodeCount } = this.settings;
    const index = (((this.nodeId - 1 - hop) % nodeCount) + nodeCount) % nodeCount;
    return { index, ...this.#rangeOf(index) };
  }

  #rangeOf(index: number): { start: number; end: number } {
    const { nodeCount } = this.settings;
    const { size } = this.layout;
    return {
      start: Math.floor((index * size) / nodeCount),
      end: Math.floor(((index + 1) * size) / nodeCount),
    };
  }
}

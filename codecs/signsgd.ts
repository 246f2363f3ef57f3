import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
  PsgdError,
  netEncapsulation,
  requireId,
  requireList,
  requireStep,
  type BlockWeight,
  type NetEncapsulation,
  type NodeId,
  type Random,
} from "@psgd/core";
import { packSigns, requireBelowOne, requireBytes, unpackSigns } from "./compressors/index.js";

/*
 * Signs up, the sign that most nodes have down: one bit for each value both ways.
 *
 * Algorithm
 * 1. A client takes mᵢ ← β mᵢ + (1 − β) gᵢ and sends the signs of mᵢ; with β = 0 they are those of its gradient. The sign of
 *    0 is decided by chance: weights of inputs that are always 0 would else drift by the learning rate in every step.
 * 2. The server counts, for each value, how many signs are negative, and sends what most have; a tie is decided by chance.
 * 3. The result is the learning rate times these signs, alike on all clients.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node votes with the mean of its own blocks; a
 * parameter server; plain gradient descent with a small learning rate, which is how far every weight moves in a step.
 *
 * Sends: `[nodeId, step, bits]` up, `[step, bits]` down: d / 4 · n bytes per step over the whole cluster.
 *
 * State: clients mᵢ, 4d bytes; the server the votes of a step, d / 8 · n bytes.
 *
 * Error feedback: no: without it signs do not converge on some convex problems, whatever the learning rate (Karimireddy et
 * al. 2019, section 3); `ef_signsgd` has it. In return a minority cannot do much, however large its gradients.
 *
 * Parameters
 * - `momentum` (number from 0, below 1, default 0.9): β (Signum); 0 for signSGD.
 *
 * Source: Bernstein et al. 2019, arXiv 1810.05291, Algorithm 1.
 */

/** Counts votes. */
export class SignSgdServer extends Codec {
  static override readonly carries = "gradients";

  readonly #votes = new Map<NodeId, Uint8Array>();
  /** The step that votes are counted for, or the first that may come. */
  #step = 0;

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const { nodes, nodeCount } = this.settings;
    const [nodeId, step, bits] = requireList(content, 3);
    requireId(nodeId, nodes, "node id");
    requireStep(step, this.settings);
    requireVote(bits, this.layout.size);
    if (step < this.#step) return undefined;
    if (step > this.#step) this.dispose();
    this.#step = step;
    this.#votes.set(nodeId, bits);
    if (this.#votes.size < nodeCount) return undefined;
    const decision = majority([...this.#votes.values()], this.random);
    this.dispose();
    this.#step = step + 1;
    return netEncapsulation(nodes, [step, decision]);
  }

  override dispose(): void {
    this.#votes.clear();
  }

  override exportState(): unknown {
    return { step: this.#step, votes: new Map(this.#votes) };
  }

  override importState(state: unknown): void {
    const saved = state as { step: number; votes: Map<NodeId, Uint8Array> };
    this.#step = saved.step;
    this.dispose();
    for (const [node, bits] of saved.votes) this.#votes.set(node, bits);
  }
}

/** Votes for a direction, and goes where most point. */
export class SignSgdClient extends Codec {
  static override readonly carries = "gradients";
  static override readonly server = SignSgdServer;

  readonly #beta = requireBelowOne(this.settings.param("momentum", 0.9), "momentum");
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  readonly #mean = new Float32Array(this.layout.size);
  #awaitedStep: number | undefined;

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const gradient = this.#ownBlocks.add(block);
    if (gradient === undefined) return undefined;
    const m = this.#mean;
    for (let i = 0; i < m.length; i++) m[i] = this.#beta * m[i] + (1 - this.#beta) * gradient[i];
    this.#awaitedStep = block.step;
    const bits = packSigns(m);
    for (let i = 0; i < m.length; i++)
      if (m[i] === 0 && this.random.float() < 0.5) bits[i >> 3] |= 1 << (i & 7);
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, block.step, bits]);
  }

  override receiveBlocks(content: unknown): void {
    const [step, bits] = requireList(content, 2);
    requireVote(bits, this.layout.size);
    if (step !== this.#awaitedStep) return;
    this.#awaitedStep = undefined;
    const { size } = this.layout;
    const result = new Float32Array(size);
    unpackSigns(bits, { offset: 0, size }, this.learningRate, result);
    this.setResult(result);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }

  override exportState(): unknown {
    return this.#mean.slice();
  }

  override importState(state: unknown): void {
    this.#mean.set(state as Float32Array);
  }
}

/**
 * What most of the votes have in each bit. Eight bits are counted at a time: plane p holds bit p of eight counters side by
 * side, and a vote is added to them as one adds by hand.
 */
export function majority(votes: readonly Uint8Array[], random: Random): Uint8Array {
  const planeCount = 32 - Math.clz32(votes.length);
  const half = votes.length / 2;
  const decision = new Uint8Array(votes[0].length);
  const planes = new Uint8Array(planeCount);
  for (let byte = 0; byte < decision.length; byte++) {
    planes.fill(0);
    for (const vote of votes) {
      let carry = vote[byte];
      for (let p = 0; carry !== 0; p++) {
        const sum = planes[p] ^ carry;
        carry &= planes[p];
        planes[p] = sum;
      }
    }
    // Compared with half of the votes, from the highest place on.
    let isMore = 0;
    let isEqual = 255;
    for (let p = planeCount - 1; p >= 0; p--) {
      const ofHalf = (Math.floor(half) >>> p) & 1 ? 255 : 0;
      isMore |= isEqual & planes[p] & ~ofHalf;
      isEqual &= ~(planes[p] ^ ofHalf);
    }
    const isTied = Number.isInteger(half) ? isEqual : 0;
    decision[byte] = isTied === 0 ? isMore : isMore | (isTied & random.uint32());
  }
  return decision;
}

function requireVote(bits: unknown, size: number): asserts bits is Uint8Array {
  if (!(bits instanceof Uint8Array))
    throw new PsgdError("WIRE_MALFORMED", `signs: expected bytes, got ${typeof bits}`);
  requireBytes(bits, Math.ceil(size / 8), "signs");
}

import {
  Codec,
  OwnBlocks,
  PsgdError,
  netEncapsulation,
  requireId,
  requireList,
  requireStep,
  requireVector,
  type BlockWeight,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";
import { equalShares, predictionOf, topologyNamed, type MixingMatrix } from "./topologies/index.js";

/*
 * Stochastic gradient push: in each step a node gives a share of its model to the next one on a graph of one-way streets,
 * and nobody has to answer.
 *
 * Algorithm
 * 1. A node has x and a weight p, at first its model and 1; its model is z = x / p. It computes a step from z and adds it
 *    to x.
 * 2. It deals out equal shares of x and p to itself and to those it sends to in this step.
 * 3. It adds what comes to what it has kept, in order of node ids: that is its new x and p. The sums of all x and of all p
 *    stay, whatever the graph; so z comes near to the mean (PushSum).
 * 4. In the job's last step everybody sends to all others: the models, which differ until then, become one.
 *
 * Needs: ssgd or asgd (a step waits for those who send in it in both); any redundancy, a node then takes the mean of its own
 * blocks for its model; no server.
 *
 * Sends: `[node, step, share of x, share of p]`: 4d · n bytes per step over the whole cluster with one neighbour in each step.
 *
 * State: x and p, 4d bytes, and what came ahead.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters
 * - `topology` ("one-peer", "exponential", "ring", "mesh", "star", "hierarchical:N" or a graph as JSON, default "one-peer"): who
 *   sends to whom; "one-peer" sends 2^(t mod log₂ n) places ahead in step t.
 *
 * Source: Assran et al. 2019, arXiv 1811.10792, Algorithm 1, without the overlap of Algorithm 2.
 */

interface Share {
  readonly x: Float32Array;
  readonly p: number;
}

/** Gives shares of its model away. */
export class Sgp extends Codec {
  static override readonly carries = "weights";

  readonly #matrices: readonly MixingMatrix[];
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  /** By step and sender; this node's own is among them. */
  readonly #shares = new Map<number, Map<NodeId, Share>>();
  #x: Float32Array | undefined;
  #p = 1;
  #step = -1;

  constructor(...context: ConstructorParameters<typeof Codec>) {
    super(...context);
    const { nodeCount } = this.settings;
    const topology = topologyNamed(this.settings.param("topology", "one-peer"), nodeCount);
    this.#matrices = Array.from({ length: topology.period }, (_, step) =>
      equalShares(topology, step),
    );
    if (this.nodeId === 0) this.log.info(predictionOf(topology, 4 * this.layout.size));
  }

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const weights = this.#ownBlocks.add(block);
    if (weights === undefined) return undefined;
    const { step } = block;
    for (const earlier of this.#shares.keys()) if (earlier < step) this.#shares.delete(earlier);
    this.#step = step;
    const z = this.weights;
    const x = (this.#x ??= z.slice());
    for (let i = 0; i < x.length; i++) x[i] += weights[i] - z[i];
    const matrix = this.#matrixOf(step);
    const kept = this.#shareOf(matrix[this.nodeId][this.nodeId]);
    const targets = this.settings.nodes.filter(
      (node) => node !== this.nodeId && matrix[node][this.nodeId] > 0,
    );
    // Equal shares: what one gets, all get.
    const given = targets.length === 0 ? kept : this.#shareOf(matrix[targets[0]][this.nodeId]);
    this.#keep(step, this.nodeId, kept);
    return netEncapsulation(targets, [this.nodeId, step, given.x, given.p]);
  }

  override receiveBlocks(content: unknown): void {
    const [node, step, x, p] = requireList(content, 4);
    requireStep(step, this.settings);
    requireId(node, this.#sendersIn(step), "sender");
    requireVector(x, this.layout.size, `share of node ${node}`);
    if (!(typeof p === "number" && p > 0 && p <= this.settings.nodeCount)) {
      throw new PsgdError(
        "WIRE_MALFORMED",
        `weight of node ${node}: expected a number above 0 and at most ${this.settings.nodeCount}, got ${String(p)}`,
      );
    }
    if (step >= this.#step) this.#keep(step, node, { x, p });
  }

  override dispose(): void {
    this.#ownBlocks.clear();
    this.#shares.clear();
  }

  override exportState(): unknown {
    return { x: this.#x?.slice(), p: this.#p };
  }

  override importState(state: unknown): void {
    const saved = state as { x: Float32Array | undefined; p: number };
    this.#x = saved.x?.slice();
    this.#p = saved.p;
  }

  /** In the last step everybody gives everybody the same. */
  #matrixOf(step: number): MixingMatrix {
    const { nodes, nodeCount, stepCount } = this.settings;
    if (step === stepCount - 1) return nodes.map(() => nodes.map(() => 1 / nodeCount));
    return this.#matrices[step % this.#matrices.length];
  }

  #sendersIn(step: number): readonly NodeId[] {
    const row = this.#matrixOf(step)[this.nodeId];
    return this.settings.nodes.filter((node) => node !== this.nodeId && row[node] > 0);
  }

  #shareOf(part: number): Share {
    return { x: this.#x!.map((value) => part * value), p: part * this.#p };
  }

  #keep(step: number, node: NodeId, share: Share): void {
    const ofStep = this.#shares.get(step) ?? new Map<NodeId, Share>();
    this.#shares.set(step, ofStep.set(node, share));
    if (step !== this.#step || !ofStep.has(this.nodeId)) return;
    const senders = [...this.#sendersIn(step), this.nodeId].sort((a, b) => a - b);
    if (senders.some((sender) => !ofStep.has(sender))) return;
    this.#shares.delete(step);
    const x = new Float64Array(this.layout.size);
    this.#p = 0;
    for (const sender of senders) {
      const { x: theirs, p } = ofStep.get(sender)!;
      this.#p += p;
      for (let i = 0; i < x.length; i++) x[i] += theirs[i];
    }
    this.#x = Float32Array.from(x);
    this.setResult(this.#x.map((value) => value / this.#p));
  }
}

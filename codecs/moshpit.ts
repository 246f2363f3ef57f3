import {
  Codec,
  OwnBlocks,
  meanOf,
  netEncapsulation,
  requireId,
  requireList,
  requireStep,
  requireVector,
  type BlockWeight,
  type GlobalSettings,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";
import { requireWhole } from "./compressors/index.js";

/*
 * Averaging in small groups that change: nodes stand on a grid, and in each step average along one axis of it.
 *
 * Algorithm
 * 1. Node i has the digits of i to the base M as its place on a grid of d axes. In step t its group are those that differ
 *    from it in digit t mod d only.
 * 2. It sends its weights to its group, and takes the mean of the group's, in order of node ids. After d steps without
 *    training, and with n = M^d, all have the mean of all.
 * 3. If somebody of the group stays away longer than a step may wait, the rest goes on without, in ssgd and asgd alike. One
 *    that is lost for good ends the job, as with all codecs: no node knows who of the others still counts on it.
 * 4. In the job's last step the group is everybody: the models, which differ until then, become one.
 *
 * Needs: ssgd or asgd; any redundancy, a node then takes the mean of its own blocks for its model; no server.
 *
 * Sends: `[node, step, weights]`: 4d · n · (M − 1) bytes per step over the whole cluster with full groups.
 *
 * State: what came ahead.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters
 * - `group_size` (whole number from 2, default 0, which stands for the root of n, rounded up): M; more: more bytes, models
 *   that differ less.
 *
 * Source: Ryabinin et al. 2021, arXiv 2103.03239, Algorithm 1; places are given once, by ids, and not drawn anew, as nodes
 * that have gone do not come back here.
 */

/** Averages along the axes of a grid. */
export class Moshpit extends Codec {
  static override readonly carries = "weights";

  readonly #base = groupSizeOf(this.settings);
  readonly #axes = axisCount(this.settings.nodeCount, this.#base);
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  /** By step and sender; this node's own are among them. */
  readonly #weightsOf = new Map<number, Map<NodeId, Float32Array>>();
  #step = -1;

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const weights = this.#ownBlocks.add(block);
    if (weights === undefined) return undefined;
    const { step } = block;
    for (const earlier of this.#weightsOf.keys())
      if (earlier < step) this.#weightsOf.delete(earlier);
    this.#step = step;
    this.#keep(step, this.nodeId, weights);
    const others = this.#groupIn(step).filter((node) => node !== this.nodeId);
    return netEncapsulation(others, [this.nodeId, step, weights]);
  }

  override receiveBlocks(content: unknown): void {
    const [node, step, weights] = requireList(content, 3);
    requireStep(step, this.settings);
    requireId(node, this.#groupIn(step), "member of the group");
    requireVector(weights, this.layout.size, `weights of node ${node}`);
    if (step >= this.#step) this.#keep(step, node, weights);
  }

  override onSyncTimeout(): void {
    this.#average(this.#weightsOf.get(this.#step));
  }

  override dispose(): void {
    this.#ownBlocks.clear();
    this.#weightsOf.clear();
  }

  #groupIn(step: number): readonly NodeId[] {
    const { nodes, stepCount } = this.settings;
    if (step === stepCount - 1) return nodes;
    const unit = this.#base ** (step % this.#axes);
    const without = (node: NodeId): number => node - (Math.floor(node / unit) % this.#base) * unit;
    return nodes.filter((node) => without(node) === without(this.nodeId));
  }

  #keep(step: number, node: NodeId, weights: Float32Array): void {
    const ofStep = this.#weightsOf.get(step) ?? new Map<NodeId, Float32Array>();
    this.#weightsOf.set(step, ofStep.set(node, weights));
    const isComplete = this.#groupIn(step).every((member) => ofStep.has(member));
    if (step === this.#step && isComplete && ofStep.has(this.nodeId)) this.#average(ofStep);
  }

  #average(ofStep: ReadonlyMap<NodeId, Float32Array> | undefined): void {
    if (ofStep === undefined) return;
    this.#weightsOf.delete(this.#step);
    const inOrder = [...ofStep].sort(([a], [b]) => a - b).map(([, weights]) => weights);
    this.setResult(meanOf(inOrder));
    // What comes for this step from now on is of a step that is over.
    this.#step++;
  }
}

/** @throws {PsgdError} SETTINGS_INVALID for 1, too: nobody would ever meet anybody. */
function groupSizeOf(settings: GlobalSettings): number {
  const size = settings.param("group_size", 0);
  if (size === 0) return Math.max(2, Math.ceil(Math.sqrt(settings.nodeCount)));
  return requireWhole(2, size, "group_size");
}

/** How many digits the largest id has. */
function axisCount(nodeCount: number, base: number): number {
  let axes = 1;
  for (let places = base; places < nodeCount; places *= base) axes++;
  return axes;
}

import {
  Codec,
  OwnBlocks,
  meanOf,
  netEncapsulation,
  requireId,
  requireList,
  requireStep,
  requireVector,
  seededRandom,
  type BlockWeight,
  type CodecContext,
  type NetEncapsulation,
} from "@psgd/core";
import { AllGather, requireBelowOne, requireWhole } from "./compressors/index.js";
import {
  joined,
  orthonormalize,
  restoreLostColumns,
  timesQ,
  transposedTimesP,
  writeProduct,
  type Matrix,
} from "./compressors/low-rank.js";

/*
 * Matrices of low rank in the place of gradients, found by one step of the power method in each step, peer to peer.
 *
 * Algorithm
 * 1. A node adds what was left out so far: M = g + e. For each tensor that is a matrix it sends P = M Q to all others, and
 *    the other tensors as they are.
 * 2. With those of all nodes, each makes the columns of the mean of P orthonormal, and sends Q = Mᵀ P.
 * 3. With the mean of Q, the result is P Qᵀ, and e ← M − P Qᵀ. Q is where the next step begins; a column that is 0 begins
 *    anew. Means are in order of node ids, so all nodes have the same bits.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; no
 * server; one codec for the model or one for each tensor. Tensors of more than two axes are matrices whose columns are the
 * last one.
 *
 * Sends: `[node, step, 0, P and the rest]`, then `[node, step, 1, Q]`: 4 · (Σ (a + b) · rank + d₁) · n · (n − 1) bytes per step
 * over the whole cluster, Σ over the matrices of a × b, d₁ the values of other tensors.
 *
 * State: e and m, 8d bytes, and Q, now and as it was at first.
 *
 * Error feedback: yes. Each node keeps the difference of its own M to what all applied.
 *
 * Parameters
 * - `rank` (whole number from 1, default 2): columns of P and Q; more: more bytes, nearer gradients. Matrices that would not
 *   become shorter are sent as they are.
 * - `momentum` (number from 0, below 1, default 0): λ of a momentum on what comes out: m ← λ m + P Qᵀ, and the result is
 *   P Qᵀ + m (Algorithm 2), for jobs with plain gradient descent. Momentum before compression is a burden to it.
 *
 * Source: Vogels et al. 2019, arXiv 1905.13727, Algorithms 1 and 2.
 */

/** Sends two thin matrices for each thick one. */
export class PowerSgd extends Codec {
  static override readonly carries = "gradients";

  readonly #rank = requireWhole(1, this.settings.param("rank", 2), "rank");
  readonly #lambda = requireBelowOne(this.settings.param("momentum", 0), "momentum");
  readonly #momentum = new Float32Array(this.layout.size);
  readonly #matrices: readonly Matrix[];
  /** Ranges that are sent as they are. */
  readonly #rest: readonly { readonly offset: number; readonly size: number }[];
  readonly #firstSize: number;
  readonly #secondSize: number;
  readonly #first = new AllGather<Float32Array>(this.settings.nodes);
  readonly #second = new AllGather<Float32Array>(this.settings.nodes);
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  #gradient: Float32Array = new Float32Array(0);
  #restOfMean: Float32Array = new Float32Array(0);
  #residual: Float32Array | undefined;

  constructor(context: CodecContext) {
    super(context);
    const rank = this.#rank;
    const matrices: Matrix[] = [];
    this.#rest = this.layout.tensors.filter(({ name, shape, offset, size }) => {
      const columns = shape.at(-1) ?? 1;
      const rows = size / columns;
      if (shape.length < 2 || (rows + columns) * rank >= size) return true;
      // The same on all nodes, and not the same for all tensors.
      const random = seededRandom(`PowerSGD ${name}`);
      const start = Float32Array.from({ length: columns * rank }, () => random.normal());
      const p = new Float32Array(rows * rank);
      matrices.push({ offset, rows, columns, start, q: start.slice(), p });
      return false;
    });
    this.#matrices = matrices;
    const restSize = this.#rest.reduce((sum, { size }) => sum + size, 0);
    this.#firstSize = matrices.reduce((sum, { rows }) => sum + rows * rank, restSize);
    this.#secondSize = matrices.reduce((sum, { columns }) => sum + columns * rank, 0);
  }

  override *updateBlocks(block: BlockWeight): Generator<NetEncapsulation> {
    const gradient = this.#ownBlocks.add(block);
    if (gradient === undefined) return;
    const { step } = block;
    const residual = this.#residual;
    if (residual !== undefined)
      for (let i = 0; i < gradient.length; i++) gradient[i] += residual[i];
    this.#gradient = gradient;
    const parts = this.#matrices.map((matrix) => timesQ(gradient, matrix, this.#rank));
    for (const { offset, size } of this.#rest) parts.push(gradient.slice(offset, offset + size));
    const message = joined(parts, this.#firstSize);
    yield this.#toAll(step, 0, message);
    yield* this.#continueWith(step, this.#first.begin(step, this.nodeId, message));
  }

  override *receiveBlocks(content: unknown): Generator<NetEncapsulation> {
    const [node, step, phase, vector] = requireList(content, 4);
    requireId(node, this.settings.nodes, "node id");
    requireStep(step, this.settings);
    requireId(phase, [0, 1], "phase");
    requireVector(vector, phase === 0 ? this.#firstSize : this.#secondSize, `part of node ${node}`);
    const gather = phase === 0 ? this.#first : this.#second;
    if (!gather.isNew(step, node)) return;
    const vectors = gather.add(step, node, vector);
    if (phase === 0) yield* this.#continueWith(step, vectors);
    else this.#combine(vectors);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
    this.#first.clear();
    this.#second.clear();
  }

  override exportState(): unknown {
    return {
      residual: this.#residual?.slice(),
      momentum: this.#momentum.slice(),
      q: this.#matrices.map(({ q }) => q.slice()),
    };
  }

  override importState(state: unknown): void {
    const saved = state as {
      residual: Float32Array | undefined;
      momentum: Float32Array;
      q: readonly Float32Array[];
    };
    this.#momentum.set(saved.momentum);
    this.#residual = saved.residual;
    for (const [i, matrix] of this.#matrices.entries()) matrix.q = saved.q[i].slice();
  }

  #toAll(step: number, phase: 0 | 1, vector: Float32Array): NetEncapsulation {
    const others = this.settings.nodes.filter((node) => node !== this.nodeId);
    return netEncapsulation(others, [this.nodeId, step, phase, vector]);
  }

  /** With the first parts of all nodes: the second one. */
  *#continueWith(
    step: number,
    vectors: readonly Float32Array[] | undefined,
  ): Generator<NetEncapsulation> {
    if (vectors === undefined) return;
    const rank = this.#rank;
    const mean = meanOf(vectors);
    let from = 0;
    const parts = this.#matrices.map((matrix) => {
      const size = matrix.rows * rank;
      matrix.p = mean.slice(from, (from += size));
      orthonormalize(matrix.p, matrix.rows, rank);
      return transposedTimesP(this.#gradient, matrix, rank);
    });
    this.#restOfMean = mean.subarray(from);
    const message = joined(parts, this.#secondSize);
    yield this.#toAll(step, 1, message);
    this.#combine(this.#second.begin(step, this.nodeId, message));
  }

  #combine(vectors: readonly Float32Array[] | undefined): void {
    if (vectors === undefined) return;
    const rank = this.#rank;
    const mean = meanOf(vectors);
    const result = new Float32Array(this.layout.size);
    let from = 0;
    for (const matrix of this.#matrices) {
      matrix.q = mean.slice(from, (from += matrix.columns * rank));
      writeProduct(matrix, rank, result);
      restoreLostColumns(matrix, rank);
    }
    from = 0;
    const gradient = this.#gradient;
    // Of what is sent as it is nothing is left.
    for (const { offset, size } of this.#rest) {
      result.set(this.#restOfMean.subarray(from, (from += size)), offset);
      gradient.fill(0, offset, offset + size);
    }
    for (const { offset, rows, columns } of this.#matrices)
      for (let i = offset; i < offset + rows * columns; i++) gradient[i] -= result[i];
    this.#residual = gradient;
    if (this.#lambda > 0) {
      const m = this.#momentum;
      for (let i = 0; i < m.length; i++) {
        m[i] = this.#lambda * m[i] + result[i];
        result[i] += m[i];
      }
    }
    this.setResult(result);
  }
}

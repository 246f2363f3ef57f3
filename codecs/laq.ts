import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
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
import {
  requireAtLeast,
  requireBytes,
  requireWhole,
  requireWholeBetween,
} from "./compressors/index.js";
import { BitReader, BitWriter } from "./compressors/bits.js";

/*
 * Lazily aggregated quantized gradients: a node sends the change of its gradient, in a few bits, and only when it matters.
 *
 * Algorithm
 * 1. A node rounds its gradient gᵢ to Q, on a grid around what it sent last, qᵢ: R = max|gᵢ − qᵢ|, steps of 2 R / (2^b − 1).
 * 2. It sends the change Q − qᵢ if ‖Q − qᵢ‖² is more than ξ / (D η²) · Σ of the last D squared ways of the model
 *    + 3 (‖gᵢ − Q‖² + that of its last message), or if it has been silent for C steps; then qᵢ ← Q. Else it says that it
 *    sends nothing.
 * 3. The server has S, the sum of all qᵢ. It adds what came, and sends S / n; the result is η S / n, η the learning rate.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; a
 * parameter server; plain gradient descent (`--gradient-descent sgd`), and gradients that change slowly: large batches.
 *
 * Sends: `[nodeId, step, null]` or `[nodeId, step, [R, codes]]` up, 4 + d · b / 8 bytes; `[step, mean]` down, 4d bytes.
 *
 * State: nodes qᵢ, the last error and D ways, 4d bytes; the server S and the messages of a step, 4d · (n + 2) bytes.
 *
 * Error feedback: another kind: what rounding left out of qᵢ is part of the next change.
 *
 * Parameters
 * - `bits` (whole number from 1, at most 8, default 4): b.
 * - `memory` (whole number from 1, default 10): D.
 * - `laziness` (number from 0, default 0.8): ξ; 0 sends whenever the change is more than rounding.
 * - `max_silence` (whole number from 1, default 100): C.
 *
 * Source: Sun et al. 2019, arXiv 1909.07588, Algorithm 2 and eq. 7; defaults of the authors' code. Theirs minimizes the sum
 * over nodes and this the mean, so n² does not stand in the condition.
 */

/** The change of a gradient: R, and where each value lies on the grid from −R to R. */
type Change = readonly [radius: number, codes: Uint8Array];

/** Adds up what comes. */
export class LaqServer extends Codec {
  static override readonly carries = "gradients";

  readonly #bits = bitsOf(this);
  readonly #changes = new Map<NodeId, Float32Array | undefined>();
  #sum = new Float64Array(this.layout.size);
  /** The step that messages are collected for, or the first that may come. */
  #step = 0;

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const { nodes, nodeCount } = this.settings;
    const [nodeId, step, change] = requireList(content, 3);
    requireId(nodeId, nodes, "node id");
    requireStep(step, this.settings);
    if (step < this.#step) return undefined;
    if (step > this.#step) this.#changes.clear();
    this.#step = step;
    this.#changes.set(
      nodeId,
      change === null ? undefined : decode(change, this.#bits, this.layout.size),
    );
    if (this.#changes.size < nodeCount) return undefined;
    for (const node of nodes) {
      const vector = this.#changes.get(node);
      if (vector === undefined) continue;
      for (let i = 0; i < vector.length; i++) this.#sum[i] += vector[i];
    }
    this.#changes.clear();
    this.#step = step + 1;
    const mean = new Float32Array(this.layout.size);
    for (let i = 0; i < mean.length; i++) mean[i] = this.#sum[i] / nodeCount;
    return netEncapsulation(nodes, [step, mean]);
  }

  override exportState(): unknown {
    return { sum: this.#sum.slice(), step: this.#step, changes: new Map(this.#changes) };
  }

  override importState(state: unknown): void {
    const saved = state as {
      sum: Float64Array;
      step: number;
      changes: Map<NodeId, Float32Array | undefined>;
    };
    this.#sum = saved.sum.slice();
    this.#step = saved.step;
    this.#changes.clear();
    for (const [node, change] of saved.changes) this.#changes.set(node, change);
  }
}

/** Sends what has changed enough. */
export class LaqClient extends Codec {
  static override readonly carries = "gradients";
  static override readonly server = LaqServer;

  readonly #bits = bitsOf(this);
  readonly #memory = requireWhole(1, this.settings.param("memory", 10), "memory");
  readonly #laziness = requireAtLeast(0, this.settings.param("laziness", 0.8), "laziness");
  readonly #maxSilence = requireWhole(1, this.settings.param("max_silence", 100), "max_silence");
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  /** What the server knows of this node's gradient. */
  #sent = new Float32Array(this.layout.size);
  #sentError = 0;
  #silence = 0;
  /** Squared ways of the model in the last steps, the newest first. */
  #ways: number[] = [];
  #awaitedStep: number | undefined;

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const gradient = this.#ownBlocks.add(block);
    if (gradient === undefined) return undefined;
    const { step } = block;
    this.#awaitedStep = step;
    // What codecs are given is times the learning rate; a picture of that would be old wherever the rate changes.
    const rate = this.learningRate;
    const change = gradient.map((value, i) => value / rate - this.#sent[i]);
    const encoded = encode(change, this.#bits);
    const rounded = decode(encoded, this.#bits, change.length);
    let length = 0;
    let error = 0;
    for (let i = 0; i < change.length; i++) {
      length += rounded[i] ** 2;
      error += (change[i] - rounded[i]) ** 2;
    }
    const way = this.#ways.reduce((sum, square) => sum + square, 0) / rate ** 2;
    const most = (this.#laziness / this.#memory) * way + 3 * (error + this.#sentError);
    if (length <= most && ++this.#silence < this.#maxSilence)
      return netEncapsulation(PARAMETER_SERVER, [this.nodeId, step, null]);
    for (let i = 0; i < rounded.length; i++) this.#sent[i] += rounded[i];
    this.#sentError = error;
    this.#silence = 0;
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, step, encoded]);
  }

  override receiveBlocks(content: unknown): void {
    const [step, mean] = requireList(content, 2);
    requireVector(mean, this.layout.size, "mean gradient");
    if (step !== this.#awaitedStep) return;
    this.#awaitedStep = undefined;
    const result = mean.map((value) => this.learningRate * value);
    const way = result.reduce((sum, value) => sum + value * value, 0);
    this.#ways = [way, ...this.#ways].slice(0, this.#memory);
    this.setResult(result);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }

  override exportState(): unknown {
    return {
      sent: this.#sent.slice(),
      sentError: this.#sentError,
      silence: this.#silence,
      ways: [...this.#ways],
    };
  }

  override importState(state: unknown): void {
    const saved = state as {
      sent: Float32Array;
      sentError: number;
      silence: number;
      ways: number[];
    };
    this.#sent = saved.sent.slice();
    this.#sentError = saved.sentError;
    this.#silence = saved.silence;
    this.#ways = [...saved.ways];
  }
}

function bitsOf(codec: Codec): number {
  return requireWholeBetween(1, 8, codec.settings.param("bits", 4), "bits");
}

/** Each value's place on the grid of 2^bits points from −R to R, to the nearest. */
function encode(change: Float32Array, bits: number): Change {
  const radius = Math.fround(
    change.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0),
  );
  const places = 2 ** bits - 1;
  const scale = radius === 0 ? 0 : places / (2 * radius);
  const out = new BitWriter((change.length * bits) / 8 + 4);
  for (const value of change)
    out.write(Math.min(places, Math.floor((value + radius) * scale + 0.5)), bits);
  return [radius, out.finish()];
}

function decode(change: unknown, bits: number, size: number): Float32Array {
  const [radius, codes] = requireList(change, 2);
  if (typeof radius !== "number" || !Number.isFinite(radius) || !(codes instanceof Uint8Array))
    throw new PsgdError(
      "WIRE_MALFORMED",
      "change of a gradient: expected a number and bytes, got something else",
    );
  requireBytes(codes, Math.ceil((size * bits) / 8), "change of a gradient");
  const reader = new BitReader(codes);
  const places = 2 ** bits - 1;
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) values[i] = ((2 * reader.read(bits)) / places - 1) * radius;
  return values;
}

import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
  netEncapsulation,
  requireId,
  requireList,
  type BlockWeight,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";
import { qsgd, requireAtLeast } from "./compressors/index.js";
import { seen } from "./quantized/grid-quantizer.js";

/*
 * Asynchronous gradient descent in few bits, in which the node itself corrects its gradient for what it has missed.
 *
 * Algorithm
 * 1. A node that has a gradient g asks the server. That answers with Q(w − wᵢ), how far the model has moved from the one that
 *    the node has, and adds what that is decoded to to wᵢ.
 * 2. The node applies the way Δ that it was told, and sends Q(g + λ g ⊙ g ⊙ Δ): its gradient as it would be there.
 * 3. The server takes w ← w − η times what it decodes.
 *
 * Needs: asgd or ssp; with ssgd it runs, but nodes at the same step hold different models; any redundancy, a node sends the
 * mean of its own blocks; a parameter server; plain gradient descent, whose learning rate the gradients are told by.
 *
 * Sends: `["ask", nodeId]` and `["gradient", nodeId, bytes]` up, `[bytes]` down: (d · bits / 4 + 8d / 512) · n bytes per step over
 * the whole cluster.
 *
 * State: nodes their gradient while they wait; the server w and wᵢ, 4d · (n + 1) bytes.
 *
 * Error feedback: on the way down: what rounding left out of Δ is part of the next. Up, rounding is right on average.
 *
 * Parameters
 * - `bits` (2, 4 or 8, default 8): of each value.
 * - `lambda` (number from 0, default 0.3): λ; 0 does not correct. Where η λ g² comes near 1 the model diverges: take less with
 *   large gradients.
 *
 * Source: `DC_QSGDClient` and `DC_QSGDServer` of Parallel-SGD.
 */

/** Tells nodes how far the model has moved, and applies what they send then. */
export class DcQsgdServer extends Codec {
  static override readonly carries = "gradients";

  readonly #quantizer = qsgd({ bits: this.settings.param("bits", 8) });
  /** How far the model has moved since the job began. */
  #way = new Float32Array(this.layout.size);
  readonly #told = new Map<NodeId, Float32Array>();

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const { size, tensors } = this.layout;
    const isQuestion = Array.isArray(content) && content[0] === "ask";
    const [, nodeId, bytes] = requireList(content, isQuestion ? 2 : 3);
    requireId(nodeId, this.settings.nodes, "node id");
    if (!isQuestion) {
      const gradient = seen(this.#quantizer, bytes, tensors, size);
      for (let i = 0; i < size; i++) this.#way[i] -= gradient[i];
      return undefined;
    }
    const told = this.#told.get(nodeId) ?? new Float32Array(size);
    this.#told.set(nodeId, told);
    const untold = this.#way.map((value, i) => value - told[i]);
    const answer = this.#quantizer.encode(untold, tensors, this.random);
    const sent = seen(this.#quantizer, answer, tensors, size);
    for (let i = 0; i < size; i++) told[i] += sent[i];
    return netEncapsulation(nodeId, [answer]);
  }

  override exportState(): unknown {
    const told = [...this.#told].map(([node, vector]) => [node, vector.slice()] as const);
    return { way: this.#way.slice(), told: new Map(told) };
  }

  override importState(state: unknown): void {
    const saved = state as { way: Float32Array; told: Map<NodeId, Float32Array> };
    this.#way = saved.way.slice();
    this.#told.clear();
    for (const [node, vector] of saved.told) this.#told.set(node, vector.slice());
  }
}

/** Asks where the model is before it sends its gradient. */
export class DcQsgdClient extends Codec {
  static override readonly carries = "gradients";
  static override readonly server = DcQsgdServer;

  readonly #quantizer = qsgd({ bits: this.settings.param("bits", 8) });
  readonly #lambda = requireAtLeast(0, this.settings.param("lambda", 0.3), "lambda");
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  #gradient: Float32Array | undefined;

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const gradient = this.#ownBlocks.add(block);
    if (gradient === undefined) return undefined;
    this.#gradient = gradient;
    return netEncapsulation(PARAMETER_SERVER, ["ask", this.nodeId]);
  }

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const { size, tensors } = this.layout;
    const [bytes] = requireList(content, 1);
    const way = seen(this.#quantizer, bytes, tensors, size);
    const gradient = this.#gradient;
    if (gradient === undefined) return undefined;
    this.#gradient = undefined;
    // Gradients come times the learning rate: η (g + λ g² Δ).
    const factor = this.#lambda / this.learningRate;
    for (let i = 0; i < size; i++) gradient[i] += factor * gradient[i] * gradient[i] * way[i];
    this.setResult(way.map((value) => -value));
    const corrected = this.#quantizer.encode(gradient, tensors, this.random);
    return netEncapsulation(PARAMETER_SERVER, ["gradient", this.nodeId, corrected]);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }
}

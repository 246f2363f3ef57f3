import type { NodeId } from "@psgd/core";
import { requireWholeBetween, type Quantizer } from "./compressors/index.js";
import { QuantizedServer } from "./quantized/answering-server.js";
import type { Fit } from "./quantized/alternating.js";
import { gridQuantizer, packFits, wholeGrid } from "./quantized/grid-quantizer.js";
import { QuantizedModelClient } from "./quantized/quantized-model.js";

/*
 * Loss-aware quantization: weights in few bits, whose scale is chosen where the loss is steep.
 *
 * Algorithm
 * 1. A client sends its gradient as α · b for each tensor, b whole numbers from −k to k, k = 2^(bits − 1) − 1, rounded at
 *    random; α and b are fitted to each other in three turns.
 * 2. The server has the weights in full, w ← w − what it decodes, and v ← 0.9 v + 0.1 g², a picture of the curvature. For
 *    each tensor it finds α with α = Σ b w √v / Σ b² √v, b = w / α rounded at random, in turns until α stays within 1e-4,
 *    and answers with α · b.
 * 3. The client goes on from these weights.
 *
 * Needs: asgd or ssp; with ssgd it runs, but nodes at the same step hold different models; any redundancy, a node sends the
 * mean of its own blocks; a parameter server.
 *
 * Sends: `[nodeId, bytes]` up, `[bytes]` down: (d · bits / 4 + 8 per tensor) · n bytes per step over the whole cluster.
 *
 * State: clients the weights that the job began with; the server w and v, 8d bytes.
 *
 * Error feedback: the server's weights keep what their short form leaves out.
 *
 * Parameters
 * - `bits` (whole number from 2, at most 8, default 8): of each value.
 *
 * Source: `laq.py` of Parallel-SGD; Hou & Kwok 2018, arXiv 1802.08635, section 3. At most 16 turns are taken, where the
 * original goes on as long as rounding at random lets it.
 */

const MAX_TURNS = 16;
const TOLERANCE = 1e-4;

function quantizerOf(bits: number): Quantizer {
  requireWholeBetween(2, 8, bits, "bits");
  return gridQuantizer(`lossaware(${bits})`, wholeGrid(bits), 3);
}

/** Holds the weights in full. */
export class LossAwareServer extends QuantizedServer {
  static override readonly returns = "displacement";

  readonly #bits = this.settings.param("bits", 8);
  protected readonly up = quantizerOf(this.#bits);
  #model: Float32Array | undefined;
  #square = new Float32Array(this.layout.size);

  protected answerTo(_nodeId: NodeId, gradient: Float32Array): Uint8Array {
    const model = (this.#model ??= this.weights.slice());
    const rate = this.learningRate;
    for (let i = 0; i < model.length; i++) {
      model[i] -= gradient[i];
      const g = gradient[i] / rate;
      this.#square[i] = 0.9 * this.#square[i] + 0.1 * g * g;
    }
    const fits = this.layout.tensors.map(({ offset, size }) =>
      this.#fit(
        model.subarray(offset, offset + size),
        this.#square.subarray(offset, offset + size),
      ),
    );
    return packFits(fits, this.#bits);
  }

  #fit(weights: Float32Array, square: Float32Array): Fit {
    const levels = 2 ** (this.#bits - 1) - 1;
    const scale = this.#scaleOf(weights, square, levels);
    const places = Uint8Array.from(weights, (value) => levels + this.#round(value, scale, levels));
    return { scale, places };
  }

  #scaleOf(weights: Float32Array, square: Float32Array, levels: number): number {
    let largest = 0;
    for (const value of weights) largest = Math.max(largest, Math.abs(value));
    let scale = largest / levels;
    for (let turn = 0; turn < MAX_TURNS && scale > 0; turn++) {
      let product = 0;
      let length = 0;
      for (let i = 0; i < weights.length; i++) {
        const b = this.#round(weights[i], scale, levels);
        const curvature = Math.sqrt(square[i]);
        product += b * weights[i] * curvature;
        length += b * b * curvature;
      }
      if (!(product > 0)) break;
      const next = product / length;
      const hasSettled = Math.abs(next - scale) <= TOLERANCE;
      scale = next;
      if (hasSettled) break;
    }
    return scale;
  }

  #round(value: number, scale: number, levels: number): number {
    if (scale === 0) return 0;
    const place = Math.floor(value / scale + this.random.float());
    return Math.max(-levels, Math.min(levels, place));
  }

  override exportState(): unknown {
    return { model: this.#model?.slice(), square: this.#square.slice() };
  }

  override importState(state: unknown): void {
    const saved = state as { model: Float32Array | undefined; square: Float32Array };
    this.#model = saved.model?.slice();
    this.#square = saved.square.slice();
  }
}

/** Trains with weights in few bits. */
export class LossAwareClient extends QuantizedModelClient {
  static override readonly server = LossAwareServer;
  protected readonly up = quantizerOf(this.settings.param("bits", 8));
  protected readonly down = this.up;
}

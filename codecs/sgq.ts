import type { NodeId } from "@psgd/core";
import { requireWholeBetween, type Quantizer } from "./compressors/index.js";
import { QuantizedClient, QuantizedServer } from "./quantized/answering-server.js";
import { gridQuantizer, seen } from "./quantized/grid-quantizer.js";

/*
 * Gradients on a grid that is finer near 0, both ways, with error feedback on the server.
 *
 * Algorithm
 * 1. A client sends its gradient as α · b for each tensor: b on a grid of 2^bits − 1 places, 0 and ± 1 / tan(k π / (4 K)),
 *    k = K … 1, over the largest, rounded at random; α and b are fitted to each other in three turns.
 * 2. The server adds what it decodes to G, the sum of all gradients so far. It sends G − Lᵢ in the same way, and adds what
 *    that is decoded to to Lᵢ, what node i has been sent so far: so nothing is lost on the way back.
 *
 * Needs: asgd or ssp; with ssgd it runs, but nodes at the same step hold different models; any redundancy, a node sends the
 * mean of its own blocks; a parameter server.
 *
 * Sends: `[nodeId, bytes]` up, `[bytes]` down: (d · bits / 4 + 8 per tensor) · n bytes per step over the whole cluster.
 *
 * State: clients none; the server G and Lᵢ, 4d · (n + 1) bytes.
 *
 * Error feedback: on the server; up, rounding at random is right on average but for what lies beyond α.
 *
 * Parameters
 * - `bits` (whole number from 2, at most 8, default 2): of each value; 2 are −1, 0 and 1.
 *
 * Source: `SGQClient` and `SGQServer` of Parallel-SGD. There symbols are Huffman-coded and top levels clip by mistake; here
 * each has its bits, and the grid ends at 1.
 */

function quantizerOf(bits: number): Quantizer {
  const half = 2 ** (requireWholeBetween(2, 8, bits, "bits") - 1) - 1;
  const upper = Array.from(
    { length: half },
    (_, i) => Math.tan(Math.PI / (4 * half)) / Math.tan(((half - i) * Math.PI) / (4 * half)),
  );
  // From the largest down to the smallest, then 0 and up again.
  const grid = [...upper.map((place) => -place).reverse(), 0, ...upper];
  return gridQuantizer(`sgq(${bits})`, grid, 3);
}

/** Sends what each node has not been told yet. */
export class SgqServer extends QuantizedServer {
  protected readonly up = quantizerOf(this.settings.param("bits", 2));
  #sum = new Float32Array(this.layout.size);
  readonly #told = new Map<NodeId, Float32Array>();

  protected answerTo(nodeId: NodeId, gradient: Float32Array): Uint8Array {
    const { size, tensors } = this.layout;
    const told = this.#told.get(nodeId) ?? new Float32Array(size);
    this.#told.set(nodeId, told);
    const untold = gradient;
    for (let i = 0; i < size; i++) {
      this.#sum[i] += gradient[i];
      untold[i] = this.#sum[i] - told[i];
    }
    const bytes = this.up.encode(untold, tensors, this.random);
    const sent = seen(this.up, bytes, tensors, size);
    for (let i = 0; i < size; i++) told[i] += sent[i];
    return bytes;
  }

  override exportState(): unknown {
    const told = [...this.#told].map(([node, vector]) => [node, vector.slice()] as const);
    return { sum: this.#sum.slice(), told: new Map(told) };
  }

  override importState(state: unknown): void {
    const saved = state as { sum: Float32Array; told: Map<NodeId, Float32Array> };
    this.#sum = saved.sum.slice();
    this.#told.clear();
    for (const [node, vector] of saved.told) this.#told.set(node, vector.slice());
  }
}

/** Sends its gradient, and applies what it is told. */
export class SgqClient extends QuantizedClient {
  static override readonly server = SgqServer;
  protected readonly up = quantizerOf(this.settings.param("bits", 2));
  protected readonly down = this.up;
}

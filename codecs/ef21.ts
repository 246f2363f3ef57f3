import {
  Chain,
  CompressedGradients,
  float32,
  topK,
  type Compressed,
  type CompressionParts,
} from "./compressors/index.js";

/*
 * Compressed changes of gradients: each node's picture of its gradient comes nearer in each step, and nothing is left over.
 *
 * Algorithm
 * 1. A node has sent hᵢ so far, which is 0 at first. It sends c, the largest values of gᵢ − hᵢ; hᵢ ← hᵢ + c.
 * 2. With the packets of all nodes, each takes h ← h + mean of c, in order of node ids: all have the same bits.
 * 3. The result is η h, η the learning rate.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; no
 * server. Gradients that change slowly from step to step: large batches.
 *
 * Sends: `[node, step, packet]`: about k · (log₂(d / k) + 1.6 + 32) / 8 · n · (n − 1) bytes per step over the whole cluster,
 * k = fraction · d.
 *
 * State: hᵢ and h, 8d bytes. A node that starts again can be told both.
 *
 * Error feedback: another kind: nothing is added to later gradients, what is missing of the picture is sent later.
 *
 * Parameters
 * - `fraction` (above 0, at most 1, default 0.05): of the values that are sent.
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: Richtárik et al. 2021, arXiv 2106.05203, Algorithm 2, with hᵢ = 0 at first instead of a dense first message.
 */

/** Sends what has changed most. */
export class Ef21 extends CompressedGradients {
  readonly #chain = new Chain(topK(this.settings.param("fraction", 0.05)), float32());
  #own = new Float32Array(this.layout.size);
  #mean = new Float32Array(this.layout.size);

  protected override compression(): CompressionParts {
    return { feedback: false, sparsifier: topK(this.settings.param("fraction", 0.05)) };
  }

  protected override compress(gradient: Float32Array): Compressed {
    const own = this.#own;
    const { tensors, size } = this.layout;
    // What codecs are given is times the learning rate; a picture of that would be wrong wherever the rate changes.
    const scale = 1 / this.learningRate;
    for (let i = 0; i < size; i++) gradient[i] = scale * gradient[i] - own[i];
    const packet = this.#chain.encode(gradient, tensors, this.random);
    const decoded = this.#chain.decode(packet, size, tensors);
    for (const [i, position] of decoded.positions!.entries()) own[position] += decoded.values[i];
    return { packet, decoded };
  }

  protected override resultOf(change: Float32Array): Float32Array {
    for (let i = 0; i < change.length; i++) {
      this.#mean[i] += change[i];
      change[i] = this.learningRate * this.#mean[i];
    }
    return change;
  }

  override exportState(): unknown {
    return { own: this.#own.slice(), mean: this.#mean.slice() };
  }

  override importState(state: unknown): void {
    const saved = state as { own: Float32Array; mean: Float32Array };
    this.#own = saved.own.slice();
    this.#mean = saved.mean.slice();
  }
}

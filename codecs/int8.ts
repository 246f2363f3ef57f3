import { CompressedGradients, quantize, type CompressionParts } from "./compressors/index.js";

/*
 * Gradients in 8 bits, or 4 or 2, on a linear scale, peer to peer.
 *
 * Algorithm
 * 1. A node rounds each value to the nearest multiple of s, s = max|x| / (2^(bits − 1) − 1) over each 512 values, and sends that to all others.
 * 2. With the packets of all nodes, each takes the mean of what they are decoded to, its own included, in order of node
 *    ids: all have the same bits.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; no
 * server.
 *
 * Sends: `[node, step, packet]`: (d · bits / 8 + 4d / 512) · n · (n − 1) bytes per step over the whole cluster.
 *
 * State: what was lost in rounding, 4d bytes, with `feedback`.
 *
 * Error feedback: with `feedback`; rounding to nearest is biased.
 *
 * Parameters
 * - `bits` (2, 4 or 8, default 8): of each value.
 * - `feedback` (true or false, default true): adds what rounding lost to the next gradient.
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: the linear quantizer of catalogues, e.g. Dettmers 2016, arXiv 1511.04561, section 3.1, in its linear form.
 */

/** Sends a byte or less for each value. */
export class Int8 extends CompressedGradients {
  protected override compression(): CompressionParts {
    return {
      feedback: this.settings.param("feedback", true),
      quantizer: quantize(this.settings.param("bits", 8)),
    };
  }
}

import {
  CompressedGradients,
  qsgd,
  requireOneOf,
  type CompressionParts,
} from "./compressors/index.js";

/*
 * Gradients rounded at random to a few levels, right on average, peer to peer.
 *
 * Algorithm
 * 1. A node rounds each value to one of the two levels next to it, l · m / s, m the norm of its bucket, with the
 *    chances that make it right on average, and sends that to all others.
 * 2. With the packets of all nodes, each takes the mean of what they are decoded to, its own included, in order of node
 *    ids: all have the same bits.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; no
 * server.
 *
 * Sends: `[node, step, packet]`: (d · bits / 8 + 4d / bucket) · n · (n − 1) bytes per step over the whole cluster with fixed
 * coding; fewer with Elias codes where most levels are 0.
 *
 * State: none.
 *
 * Error feedback: no: it is unbiased.
 *
 * Parameters
 * - `bits` (2, 4 or 8, default 4): s = 2^(bits − 1) − 1 levels besides 0, and a sign.
 * - `bucket` (power of two from 16 to 16384, default 512): values that share a norm; fewer: less noise, more bytes.
 * - `norm` ("max" or "l2", default "max"): what a bucket is measured by. The paper's bounds are for "l2", its section 5
 *   uses the largest magnitude, which has less noise.
 * - `coding` ("fixed" or "elias", default "fixed"): Elias codes pay with "l2", large buckets and 2 bits.
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: Alistarh et al. 2017, arXiv 1610.02132, sections 3 and 5.
 */

/** Sends a few bits for each value, right on average. */
export class Qsgd extends CompressedGradients {
  protected override compression(): CompressionParts {
    return {
      feedback: false,
      quantizer: qsgd({
        bits: this.settings.param("bits", 4),
        bucket: this.settings.param("bucket", 512),
        norm: requireOneOf(["max", "l2"], this.settings.param("norm", "max"), "norm"),
        coding: requireOneOf(["fixed", "elias"], this.settings.param("coding", "fixed"), "coding"),
      }),
    };
  }
}

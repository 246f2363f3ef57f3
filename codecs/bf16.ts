import { CompressedGradients, bf16, type CompressionParts } from "./compressors/index.js";

/*
 * Gradients in bfloat16, peer to peer.
 *
 * Algorithm
 * 1. A node rounds its gradient to bf16, to nearest, ties to even, and sends that to all others.
 * 2. With the packets of all nodes, each takes the mean of what they are decoded to, its own included, in order of node
 *    ids: all have the same bits.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; no
 * server.
 *
 * Sends: `[node, step, packet]`: 2d · n · (n − 1) bytes per step over the whole cluster, half of `plain.Plain`.
 *
 * State: what was lost in rounding, 4d bytes, with `feedback`.
 *
 * Error feedback: with `feedback`.
 *
 * Parameters
 * - `feedback` (true or false, default false): adds what rounding lost, up to 0.4 % of each value, to the next gradient.
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: Kalamkar et al. 2019, arXiv 1905.12322.
 */

/** Sends two bytes for each value, with the range of four. */
export class Bf16 extends CompressedGradients {
  protected override compression(): CompressionParts {
    return { feedback: this.settings.param("feedback", false), quantizer: bf16() };
  }
}

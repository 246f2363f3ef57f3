import {
  CompressedGradients,
  requireAtLeast,
  ternary,
  type CompressionParts,
} from "./compressors/index.js";

/*
 * Gradients as −s, 0 or s, right on average, peer to peer.
 *
 * Algorithm
 * 1. A node clips each tensor of its gradient to 2.5 standard deviations.
 * 2. Each value becomes ± s, s the largest magnitude of its tensor, with the chance |x| / s, else 0; it sends that to all
 *    others.
 * 3. With the packets of all nodes, each takes the mean of what they are decoded to, its own included, in order of node
 *    ids: all have the same bits.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; no
 * server.
 *
 * Sends: `[node, step, packet]`: (d / 5 + 4 per tensor) · n · (n − 1) bytes per step over the whole cluster: five of three
 * levels fit into a byte.
 *
 * State: none.
 *
 * Error feedback: no: it is unbiased but for the clipping.
 *
 * Parameters
 * - `clip` (number from 0, default 2.5): in standard deviations; less: less noise, more bias; 0 for none.
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: Wen et al. 2017, arXiv 1705.07878, Algorithm 1 and section 3.3. Nodes do not share a scale (section 3.2): that is for
 * servers that send back the sum, and here none does.
 */

/** Sends a sign or nothing for each value, right on average. */
export class TernGrad extends CompressedGradients {
  protected override compression(): CompressionParts {
    const clip = requireAtLeast(0, this.settings.param("clip", 2.5), "clip");
    return { feedback: false, quantizer: ternary(clip) };
  }
}

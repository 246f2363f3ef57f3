import { CompressedGradients, oneBit, type CompressionParts } from "./compressors/index.js";

/*
 * One bit for each value and two means for each tensor, and what it loses comes later, peer to peer.
 *
 * Algorithm
 * 1. A node adds what it has not sent so far to its gradient: p = g + e.
 * 2. It sends the signs of p and, for each tensor, the means of its negative and of its other values, which the bits are
 *    decoded to: they are what makes the error smallest. e ← p − decoded.
 * 3. With the packets of all nodes, each takes the mean of what they are decoded to, in order of node ids.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; no
 * server.
 *
 * Sends: `[node, step, packet]`: (d / 8 + 8 per tensor) · n · (n − 1) bytes per step over the whole cluster.
 *
 * State: e, 4d bytes.
 *
 * Error feedback: yes, this is where it comes from.
 *
 * Parameters
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: Seide et al. 2014, "1-bit stochastic gradient descent", Interspeech, section 3. There each column of a matrix has means
 * of its own, and sums are quantized once more on their way back; here each tensor has, and nothing is.
 */

/** Sends one bit for each value. */
export class OneBitSgd extends CompressedGradients {
  protected override compression(): CompressionParts {
    return { feedback: true, quantizer: oneBit() };
  }
}

import { CompressedGradients, scaledSign, type CompressionParts } from "./compressors/index.js";

/*
 * One bit for each value, and what it loses comes later, peer to peer.
 *
 * Algorithm
 * 1. A node adds what it has not sent so far to its gradient: p = γ g + e.
 * 2. It sends the signs of p and, for each tensor, the mean magnitude: Δ = ‖p‖₁ / d · sign(p). e ← p − Δ.
 * 3. With the packets of all nodes, each takes the mean of their Δ, in order of node ids: all have the same bits.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; no
 * server.
 *
 * Sends: `[node, step, packet]`: (d / 8 + 4 per tensor) · n · (n − 1) bytes per step over the whole cluster.
 *
 * State: e, 4d bytes.
 *
 * Error feedback: yes: without it signs do not even converge on a line (Theorem 1 of the paper).
 *
 * Parameters
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: Karimireddy et al. 2019, arXiv 1901.09847, Algorithm 1 (EF-signSGD) on several nodes, scaled by tensor as in its
 * section 6.1. The learning rate is in what codecs are given, as there.
 */

/** Sends one bit for each value. */
export class EfSignSgd extends CompressedGradients {
  protected override compression(): CompressionParts {
    return { feedback: true, quantizer: scaledSign() };
  }
}

import {
  CompressedWeights,
  qsgd,
  requireAtLeast,
  requireBelowOne,
  requireShare,
  topK,
  type CompressionParts,
  type Schedule,
} from "./compressors/index.js";

/*
 * DiLoCo that sends the few largest values of the way, in 2 bits, and the rest later.
 *
 * Algorithm
 * 1. As `diloco` without outer momentum, but a node adds what it has not sent so far: eᵢ ← β eᵢ + Δᵢ.
 * 2. It sends the `fraction` of the values of eᵢ that are largest, rounded at random to −m, 0 or m, m the largest of each 64;
 *    eᵢ ← eᵢ without what was sent.
 * 3. With the mean of all that was sent: w₀ ← w₀ − γ · mean, on every node alike.
 *
 * Needs: ssgd or asgd (an exchange waits for all nodes in both); any redundancy, a node then takes the mean of its own
 * blocks for its model; no server.
 *
 * Sends: `[node, step, [packet]]`: about k · (log₂(d / k) + 1.6 + 2.5) / 8 · n · (n − 1) / local_steps bytes per step over the whole
 * cluster, k = fraction · d.
 *
 * State: w₀, v and eᵢ, 12d bytes.
 *
 * Error feedback: yes, with decay.
 *
 * Parameters
 * - `local_steps` (whole number from 1, default 30): between two exchanges.
 * - `fraction` (above 0, at most 1, default 0.03): of the values that are sent.
 * - `decay` (above 0, at most 1, default 0.95): β, what stays of the residual.
 * - `outer_rate` (number from 0, default 1): γ.
 * - `outer_momentum` (number from 0, below 1, default 0): the residual does its work.
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: Sarfi et al. 2025, arXiv 2508.15706, Algorithm 1. The largest values are those of the whole vector here, not of each
 * 4,096 of it. In the last step, too, the rest stays behind.
 */

/** Sends the largest values of its way. */
export class SparseLoCo extends CompressedWeights {
  protected override compression(): CompressionParts {
    const { settings } = this;
    return {
      feedback: requireShare(settings.param("decay", 0.95), "decay"),
      sparsifier: topK(settings.param("fraction", 0.03)),
      quantizer: qsgd({ bits: 2, bucket: 64 }),
    };
  }

  protected override schedule(): Schedule {
    const { settings } = this;
    return {
      localSteps: settings.param("local_steps", 30),
      fragments: 1,
      outerRate: requireAtLeast(0, settings.param("outer_rate", 1), "outer_rate"),
      outerMomentum: requireBelowOne(settings.param("outer_momentum", 0), "outer_momentum"),
    };
  }
}

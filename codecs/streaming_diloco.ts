import {
  CompressedWeights,
  qsgd,
  requireAtLeast,
  requireBelowOne,
  type CompressionParts,
  type Schedule,
} from "./compressors/index.js";

/*
 * DiLoCo in which groups of tensors take turns, in 4 bits.
 *
 * Algorithm
 * 1. As `diloco`, but tensors are dealt out to `fragments`; each has its own turn every `local_steps` steps, evenly spread.
 * 2. Δᵢ of the fragment is sent in 4 bits, rounded at random to levels of the largest value of each 512; sums are in
 *    double precision.
 * 3. Only the fragment takes the outer step; in the job's last step all do.
 *
 * Needs: ssgd or asgd (an exchange waits for all nodes in both); any redundancy, a node then takes the mean of its own
 * blocks for its model; no server; one codec for the model, as with one for each tensor all have their turn at once.
 *
 * Sends: `[node, step, [packet …]]`: (d / 2 + 4d / 512) · n · (n − 1) / local_steps bytes per step over the whole cluster; at most
 * about one fragment of it at once.
 *
 * State: w₀ and v, 8d bytes.
 *
 * Error feedback: no: rounding at random is right on average.
 *
 * Parameters
 * - `local_steps` (whole number from 1, default 100): between two exchanges of a fragment.
 * - `fragments` (whole number from 1, default 3): of the model; not more than it has tensors.
 * - `outer_rate` (number from 0, default 0.7): of the outer optimizer.
 * - `outer_momentum` (number from 0, below 1, default 0.9): of the outer optimizer; with 0 and a rate of 1 the model is the
 *   mean of the nodes' models.
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: Douillard et al. 2025, arXiv 2501.18512, sections 2.1 and 2.4. A node waits for its fragment and takes all of it: the
 * overlap with the next steps (section 2.2) and the mixing that it needs are not built. Its 4 bits have an exponent.
 */

/** Sends the ways of a few tensors at a time. */
export class StreamingDiLoCo extends CompressedWeights {
  protected override compression(): CompressionParts {
    return { feedback: false, quantizer: qsgd({ bits: 4 }) };
  }

  protected override schedule(): Schedule {
    const { settings } = this;
    return {
      localSteps: settings.param("local_steps", 100),
      fragments: settings.param("fragments", 3),
      outerRate: requireAtLeast(0, settings.param("outer_rate", 0.7), "outer_rate"),
      outerMomentum: requireBelowOne(settings.param("outer_momentum", 0.9), "outer_momentum"),
    };
  }
}

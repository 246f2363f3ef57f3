import {
  CompressedWeights,
  bf16,
  float32,
  fp16,
  qsgd,
  requireAtLeast,
  requireBelowOne,
  requireOneOf,
  type CompressionParts,
  type Schedule,
} from "./compressors/index.js";

/*
 * Hundreds of local steps, then one step of an outer optimizer from where all began.
 *
 * Algorithm
 * 1. A node takes `local_steps` steps with the job's own optimizer (the paper: AdamW), which is not reset.
 * 2. It sends Δᵢ = w₀ − wᵢ, how far it has moved since all nodes had the same model w₀, to all others.
 *    During warm-up it takes fewer steps: `first_local_steps` before the first exchange, twice as many before each next.
 * 3. With Δ, the mean in order of node ids: v ← μ v + Δ, w₀ ← w₀ − γ (μ v + Δ) (Nesterov), on every node alike, and all go
 *    on from w₀. In the job's last step, too.
 *
 * Needs: ssgd or asgd (an exchange waits for all nodes in both); any redundancy, a node then takes the mean of its own
 * blocks for its model; no server.
 *
 * Sends: `[node, step, [packet]]`: 4d · n · (n − 1) / local_steps bytes per step over the whole cluster with fp32, half of it
 * with fp16, (d / 2 + 4d / 512) instead of 4d with 4 bits; warm-up has ⌈log₂(local_steps / first_local_steps)⌉ exchanges more.
 *
 * State: w₀ and v, 8d bytes.
 *
 * Error feedback: no; what fp16 loses is less than a part in 2,000 of each value, and 4 bits are right on average.
 *
 * Parameters
 * - `local_steps` (whole number from 1, default 500): more: fewer bytes, nodes that drift further apart.
 * - `first_local_steps` (whole number from 1, at most `local_steps`, default `local_steps`: no warm-up): with a few, nodes are
 *   still near each other when they meet for the first times, after which they stay so for longer.
 * - `values` ("fp32", "fp16", "bf16" or "4bit", default "fp16"): how Δᵢ is written; OpenDiLoCo found fp16 to lose nothing, and
 *   4 bits, rounded at random to levels of the largest value of each 512, are what Streaming DiLoCo sends.
 * - `outer_rate` (number from 0, default 0.7): of the outer optimizer.
 * - `outer_momentum` (number from 0, below 1, default 0.9): of the outer optimizer; with 0 and a rate of 1 the model is the
 *   mean of the nodes' models.
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: Douillard et al. 2023, arXiv 2311.08105, Algorithm 1; Jaghouar et al. 2024 (OpenDiLoCo), arXiv 2407.07852. Its
 * outer optimizer is on every node here, as in OpenDiLoCo, and not on a server: there is nothing to wait for but the nodes. 4
 * bits: Douillard et al. 2025, arXiv 2501.18512, section 2.4. Warm-up: that of local SGD's steps, exponential, of Lin et al.
 * 2018, arXiv 1808.07217; DiLoCo itself starts from a model that was trained before.
 */

/** Sends its way every few hundred steps. */
export class DiLoCo extends CompressedWeights {
  protected override compression(): CompressionParts {
    const words = ["fp32", "fp16", "bf16", "4bit"] as const;
    const values = requireOneOf(words, this.settings.param("values", "fp16"), "values");
    const quantizers = { fp32: float32, fp16, bf16, "4bit": () => qsgd({ bits: 4 }) };
    return { feedback: false, quantizer: quantizers[values]() };
  }

  protected override schedule(): Schedule {
    const { settings } = this;
    const localSteps = settings.param("local_steps", 500);
    return {
      localSteps,
      firstLocalSteps: settings.param("first_local_steps", localSteps),
      fragments: 1,
      outerRate: requireAtLeast(0, settings.param("outer_rate", 0.7), "outer_rate"),
      outerMomentum: requireBelowOne(settings.param("outer_momentum", 0.9), "outer_momentum"),
    };
  }
}

import {
  Chain,
  CompressedGradients,
  fp16,
  largestPositions,
  requireAtLeast,
  requireBelowOne,
  requireShare,
  requireWhole,
  subtract,
  topK,
  type Compressed,
  type CompressionParts,
  type Segment,
  type Sparsifier,
} from "./compressors/index.js";

/*
 * Only the largest of accumulated, momentum-corrected gradients, down to one in a thousand, peer to peer.
 *
 * Algorithm
 * 1. A node clips its gradient to the norm `clip` / √n, and adds it to a velocity, u ← m u + g, and that to what it has
 *    not sent, v ← v + u (momentum correction).
 * 2. Of each tensor it sends the values of v of largest magnitude; v and u become 0 where they were sent (momentum factor
 *    masking). During warm-up it sends more of them, a quarter as many from stage to stage: 25 %, 6.3 %, 1.6 % …
 * 3. With the packets of all nodes, each takes the mean, in order of node ids: all have the same bits.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; no
 * server; a gradient descent without momentum (`--gradient-descent sgd`), as the momentum is here; clipping wants plain sgd.
 *
 * Sends: `[node, step, packet]`: about k · (log₂(d / k) + 1.6 + 16) / 8 · n · (n − 1) bytes per step over the whole cluster, k
 * values of d, ⌈fraction · size⌉ of each tensor, written as fp16.
 *
 * State: u and v, 8d bytes.
 *
 * Error feedback: yes: what is not sent stays in v, what fp16 loses, too.
 *
 * Parameters
 * - `fraction` (above 0, at most 1, default 0.001): of the values that are sent after warm-up.
 * - `momentum` (number from 0, below 1, default 0.9): m.
 * - `warmup_steps` (whole number from 0, default 0): steps with more values, in stages as long as each other; the paper has four
 *   epochs.
 * - `warmup_fraction` (above 0, at most 1, default 0.25): of the values that are sent in the first stage.
 * - `clip` (number from 0, default 0): norm that the gradients of all nodes together are clipped to; 0 for none.
 * - `topology` ("mesh", "ring", "star", "exponential", "hierarchical:N" or a graph as JSON, default "mesh"): over which packets
 *   are passed on; the bytes are the same, links and waiting are not.
 *
 * Source: Lin et al. 2018, arXiv 1712.01887, Algorithm 1 with section 3; the thresholds of its layers are those of tensors here.
 */

/** Sends the largest of what has gathered. */
export class Dgc extends CompressedGradients {
  readonly #fraction = this.settings.param("fraction", 0.001);
  readonly #momentum = requireBelowOne(this.settings.param("momentum", 0.9), "momentum");
  readonly #warmupSteps = requireWhole(0, this.settings.param("warmup_steps", 0), "warmup_steps");
  readonly #warmupFraction = requireShare(
    this.settings.param("warmup_fraction", 0.25),
    "warmup_fraction",
  );
  readonly #clip = requireAtLeast(0, this.settings.param("clip", 0), "clip");
  #velocity = new Float32Array(this.layout.size);
  #unsent = new Float32Array(this.layout.size);

  protected override compression(): CompressionParts {
    const sparsifier = topK(this.settings.param("fraction", 0.001));
    return { feedback: false, sparsifier, quantizer: fp16() };
  }

  protected override compress(gradient: Float32Array, step: number): Compressed {
    const u = this.#velocity;
    const v = this.#unsent;
    const scale = this.#clippingScale(gradient);
    for (let i = 0; i < v.length; i++) {
      u[i] = this.#momentum * u[i] + scale * gradient[i];
      v[i] += u[i];
    }
    const { tensors, size } = this.layout;
    const chain = new Chain(largestOfEach(tensors, this.#fractionIn(step)), fp16());
    const packet = chain.encode(v, tensors, this.random);
    const decoded = chain.decode(packet, size, tensors);
    subtract(v, decoded);
    for (const position of decoded.positions!) u[position] = 0;
    return { packet, decoded };
  }

  #fractionIn(step: number): number {
    if (step >= this.#warmupSteps) return this.#fraction;
    const stages: number[] = [];
    for (let more = this.#warmupFraction; more > this.#fraction; more /= 4) stages.push(more);
    return stages[Math.floor((stages.length * step) / this.#warmupSteps)] ?? this.#fraction;
  }

  /** Gradients come times the learning rate; nodes that each have a part of the norm clip to a part of it. */
  #clippingScale(gradient: Float32Array): number {
    if (this.#clip === 0) return 1;
    const squares = gradient.reduce((sum, value) => sum + value * value, 0);
    const norm = Math.sqrt(squares) / this.learningRate;
    return Math.min(1, this.#clip / Math.sqrt(this.settings.nodeCount) / norm);
  }

  override exportState(): unknown {
    return { velocity: this.#velocity.slice(), unsent: this.#unsent.slice() };
  }

  override importState(state: unknown): void {
    const saved = state as { velocity: Float32Array; unsent: Float32Array };
    this.#velocity = saved.velocity.slice();
    this.#unsent = saved.unsent.slice();
  }
}

/** Small tensors, such as biases, would send next to nothing beside large ones. */
function largestOfEach(tensors: readonly Segment[], fraction: number): Sparsifier {
  const pickIn = (values: Readonly<Float32Array>, { offset, size }: Segment): number[] => {
    const tensor = values.subarray(offset, offset + size);
    return Array.from(largestPositions(tensor, Math.ceil(fraction * size)), (at) => offset + at);
  };
  return {
    kind: "sparsifier",
    name: `largestOfEach(${fraction})`,
    pick: (values) => Uint32Array.from(tensors.flatMap((tensor) => pickIn(values, tensor))),
  };
}

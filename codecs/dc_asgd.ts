import type { NodeId } from "@psgd/core";
import { AsgdClient, AsgdServer } from "./asgd.js";
import { requireAtLeast, requireBelowOne, requireOneOf } from "./compressors/index.js";

/*
 * Asynchronous gradient descent that corrects gradients for how far the model has moved since they were computed.
 *
 * Algorithm
 * 1. Clients as in `asgd`.
 * 2. The server knows which model wᵢ it last gave to each node. To a gradient g of node i it adds λ g ⊙ g ⊙ (w − wᵢ), the
 *    cheapest picture of how the gradient would have changed, and takes w ← w − η (…).
 * 3. λ stays, or is λ₀ / √(MS + 1e-7) for each value, MS ← 0.95 MS + 0.05 g².
 *
 * Needs: as `asgd`: asgd or ssp; any redundancy; a parameter server; plain gradient descent at a rate that stays
 * (`--gradient-descent sgd`), by which the server tells the gradients.
 *
 * Sends: as `asgd`: 8d · n / local_steps bytes per step over the whole cluster.
 *
 * State: as `asgd`, and on the server wᵢ of each node, 4d · n bytes, and MS, 4d bytes.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters: that of `asgd`, and
 * - `variant` ("adaptive" or "constant", default "adaptive"): of λ: DC-ASGD-a and DC-ASGD-c.
 * - `lambda` (number from 0, default 2 with the adaptive and 0.04 with the constant variant): λ₀ or λ; 0 is `asgd`, bit for bit.
 *   Where η λ g² comes near 1 the correction overshoots, and the model diverges: with gradients not far below 1 / η (those of
 *   `psgd codec test`, say) take less, or "constant".
 * - `momentum` (number from 0, below 1, default 0.95): of MS.
 *
 * Source: Zheng et al. 2017, arXiv 1609.08326, Algorithm 2 and section 6; constants of Parallel-SGD's `DCASGDServerCodec`.
 */

const EPSILON = 1e-7;

/** Applies each gradient when it comes, corrected for its delay. */
export class DcAsgdServer extends AsgdServer {
  readonly #isAdaptive =
    requireOneOf(
      ["adaptive", "constant"],
      this.settings.param("variant", "adaptive"),
      "variant",
    ) === "adaptive";
  readonly #lambda = requireAtLeast(
    0,
    this.settings.param("lambda", this.#isAdaptive ? 2 : 0.04),
    "lambda",
  );
  readonly #momentum = requireBelowOne(this.settings.param("momentum", 0.95), "momentum");
  readonly #given = new Map<NodeId, Float32Array>();
  #meanSquare = new Float32Array(this.layout.size);

  protected override apply(
    gradient: Float32Array,
    displacement: Float32Array,
    nodeId: NodeId,
  ): void {
    const rate = this.learningRate;
    const given = this.#given.get(nodeId) ?? new Float32Array(displacement.length);
    const square = this.#meanSquare;
    for (let i = 0; i < displacement.length; i++) {
      const g = gradient[i] / rate;
      square[i] = this.#momentum * square[i] + (1 - this.#momentum) * g * g;
      const lambda = this.#isAdaptive
        ? this.#lambda / Math.sqrt(square[i] + EPSILON)
        : this.#lambda;
      displacement[i] -= gradient[i] + rate * lambda * g * g * (displacement[i] - given[i]);
    }
    given.set(displacement);
    this.#given.set(nodeId, given);
  }

  override exportState(): unknown {
    const given = [...this.#given].map(([node, model]) => [node, model.slice()] as const);
    return {
      model: super.exportState(),
      given: new Map(given),
      meanSquare: this.#meanSquare.slice(),
    };
  }

  override importState(state: unknown): void {
    const saved = state as {
      model: unknown;
      given: Map<NodeId, Float32Array>;
      meanSquare: Float32Array;
    };
    super.importState(saved.model);
    this.#given.clear();
    for (const [node, model] of saved.given) this.#given.set(node, model.slice());
    this.#meanSquare = saved.meanSquare.slice();
  }
}

/** Sends its gradients, and goes on from the server's model. */
export class DcAsgdClient extends AsgdClient {
  static override readonly server = DcAsgdServer;
}

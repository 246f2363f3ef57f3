import type { NodeId } from "@psgd/core";
import { QuantizedServer } from "./quantized/answering-server.js";
import { gridQuantizer } from "./quantized/grid-quantizer.js";
import { QuantizedModelClient } from "./quantized/quantized-model.js";

/*
 * Ternary networks: gradients up and weights down as −α, 0 and α, so that clients train with ternary weights.
 *
 * Algorithm
 * 1. A client sends its gradient as α · b for each tensor, b of −1, 0 and 1, rounded at random; α and b are fitted to each
 *    other in one turn.
 * 2. The server has the weights in full, w ← w − what it decodes, and answers with w in the same form.
 * 3. The client goes on from the ternary weights: gradients are those of the network that is to be used later.
 *
 * Needs: asgd or ssp; with ssgd it runs, but nodes at the same step hold different models; any redundancy, a node sends the
 * mean of its own blocks; a parameter server; a model that can be trained with ternary weights.
 *
 * Sends: `[nodeId, bytes]` up, `[bytes]` down: (d / 2 + 8 per tensor) · n bytes per step over the whole cluster.
 *
 * State: clients the weights that the job began with; the server w, 4d bytes.
 *
 * Error feedback: the server's weights keep what their ternary form leaves out.
 *
 * Parameters: none.
 *
 * Source: `TQNClient` and `TQNServer` of Parallel-SGD.
 */

const TERNARY = gridQuantizer("tqn", [-1, 0, 1], 1);

/** Holds the weights in full. */
export class TqnServer extends QuantizedServer {
  static override readonly returns = "displacement";

  protected readonly up = TERNARY;
  #model: Float32Array | undefined;

  protected answerTo(_nodeId: NodeId, gradient: Float32Array): Uint8Array {
    const model = (this.#model ??= this.weights.slice());
    for (let i = 0; i < model.length; i++) model[i] -= gradient[i];
    return TERNARY.encode(model, this.layout.tensors, this.random);
  }

  override exportState(): unknown {
    return this.#model?.slice();
  }

  override importState(state: unknown): void {
    this.#model = (state as Float32Array | undefined)?.slice();
  }
}

/** Trains with ternary weights. */
export class TqnClient extends QuantizedModelClient {
  static override readonly server = TqnServer;
  protected readonly up = TERNARY;
  protected readonly down = TERNARY;
}

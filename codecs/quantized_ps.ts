import { meanOf, type NodeId } from "@psgd/core";
import { qsgd } from "./compressors/index.js";
import { QuantizedClient, QuantizedServer } from "./quantized/answering-server.js";

/*
 * The averaging parameter server in few bits: weights up, the mean of all nodes' last weights down.
 *
 * Algorithm
 * 1. A client sends its weights, rounded at random to levels of the largest of each 512.
 * 2. The server keeps the last weights of each node, and answers at once with the mean of those it knows, in order of node
 *    ids, rounded in the same way.
 * 3. The client goes on from there.
 *
 * Needs: asgd or ssp; with ssgd it runs, but nodes at the same step hold different models; any redundancy, a node then takes
 * the mean of its own blocks for its model; a parameter server.
 *
 * Sends: `[nodeId, bytes]` up, `[bytes]` down: (d · (bits_client + bits_server) / 8 + 8d / 512) · n bytes per step over the
 * whole cluster.
 *
 * State: clients none; the server the weights of each node, 4d · n bytes.
 *
 * Error feedback: no: rounding at random is right on average. Models are never finer than their levels.
 *
 * Parameters
 * - `bits_client` (2, 4 or 8, default 8), `bits_server` (2, 4 or 8, default 8): of each value on its way.
 *
 * Source: `QuantizedClient` and `QuantizedParaServer` of Parallel-SGD, whose resolutions are 2^bits here.
 */

/** Answers with the mean of all nodes' last weights. */
export class QuantizedParaServer extends QuantizedServer {
  static override readonly carries = "weights";

  protected readonly up = qsgd({ bits: this.settings.param("bits_client", 8) });
  readonly #down = qsgd({ bits: this.settings.param("bits_server", 8) });
  readonly #weightsByNode = new Map<NodeId, Float32Array>();

  protected answerTo(nodeId: NodeId, weights: Float32Array): Uint8Array {
    this.#weightsByNode.set(nodeId, weights);
    const known = this.settings.nodes.flatMap((node) => this.#weightsByNode.get(node) ?? []);
    return this.#down.encode(meanOf(known), this.layout.tensors, this.random);
  }

  override exportState(): unknown {
    return new Map(this.#weightsByNode);
  }

  override importState(state: unknown): void {
    this.#weightsByNode.clear();
    for (const [node, weights] of state as Map<NodeId, Float32Array>)
      this.#weightsByNode.set(node, weights);
  }
}

/** Sends its weights, and takes the mean. */
export class QuantizedParaClient extends QuantizedClient {
  static override readonly carries = "weights";
  static override readonly server = QuantizedParaServer;

  protected readonly up = qsgd({ bits: this.settings.param("bits_client", 8) });
  protected readonly down = qsgd({ bits: this.settings.param("bits_server", 8) });
}

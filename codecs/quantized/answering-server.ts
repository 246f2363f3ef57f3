import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
  netEncapsulation,
  requireId,
  requireList,
  type BlockWeight,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";
import type { Quantizer } from "../compressors/index.js";
import { seen } from "./grid-quantizer.js";

/** A client that sends its gradient in few bits, and takes what the server answers at once for its result. */
export abstract class QuantizedClient extends Codec {
  static override readonly carries: "gradients" | "weights" = "gradients";

  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  #isWaiting = false;

  /** Writes gradients. */
  protected abstract readonly up: Quantizer;
  /** Reads answers. */
  protected abstract readonly down: Quantizer;

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const gradient = this.#ownBlocks.add(block);
    if (gradient === undefined) return undefined;
    this.#isWaiting = true;
    const bytes = this.up.encode(gradient, this.layout.tensors, this.random);
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, bytes]);
  }

  override receiveBlocks(content: unknown): void {
    const [answer] = requireList(content, 1);
    const values = seen(this.down, answer, this.layout.tensors, this.layout.size);
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.setResult(this.resultOf(values));
  }

  /** What the answer means to this node; `answer` may be changed and returned. */
  protected resultOf(answer: Float32Array): Float32Array {
    return answer;
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }
}

/** A server that answers each gradient at once. */
export abstract class QuantizedServer extends Codec {
  static override readonly carries: "gradients" | "weights" = "gradients";

  /** Reads gradients. */
  protected abstract readonly up: Quantizer;

  override receiveBlocks(content: unknown): NetEncapsulation {
    const [nodeId, bytes] = requireList(content, 2);
    requireId(nodeId, this.settings.nodes, "node id");
    const { size, tensors } = this.layout;
    const gradient = seen(this.up, bytes, tensors, size);
    return netEncapsulation(nodeId, [this.answerTo(nodeId, gradient)]);
  }

  /** @param gradient - what was decoded, times the learning rate; may be kept */
  protected abstract answerTo(nodeId: NodeId, gradient: Float32Array): Uint8Array;
}

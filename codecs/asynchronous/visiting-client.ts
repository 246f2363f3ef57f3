import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
  netEncapsulation,
  requireCount,
  requireList,
  requireVector,
  type BlockWeight,
  type NetEncapsulation,
} from "@psgd/core";
import { requireWhole } from "../compressors/index.js";

/**
 * A client that trains by itself and visits the server every `local_steps` steps and in the job's last: it brings a
 * vector and the version of the model that it began with, and goes on from what it is given, whoever else comes when.
 *
 * Sends `[nodeId, vector, version]`, and expects `[weights, version]`.
 */
export abstract class VisitingClient extends Codec {
  static override readonly carries = "weights";

  readonly #localSteps = requireWhole(1, this.settings.param("local_steps", 10), "local_steps");
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  /** The model that this visit's way began with. */
  #start: Float32Array | undefined;
  #version = 0;
  #isWaiting = false;

  /**
   * What a visit brings.
   * @param weights - this node's; may be changed and returned
   * @param start - the model it began with
   */
  protected abstract brings(weights: Float32Array, start: Readonly<Float32Array>): Float32Array;

  /** Changes the weights after a local step, in place. */
  protected afterLocalStep(_weights: Float32Array, _start: Readonly<Float32Array>): void {}

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const start = (this.#start ??= this.weights.slice());
    const weights = this.#ownBlocks.add(block);
    if (weights === undefined) return undefined;
    this.afterLocalStep(weights, start);
    const { step } = block;
    if ((step + 1) % this.#localSteps !== 0 && step !== this.settings.stepCount - 1) {
      this.setResult(weights);
      return undefined;
    }
    this.#isWaiting = true;
    const brought = this.brings(weights, start);
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, brought, this.#version]);
  }

  override receiveBlocks(content: unknown): void {
    const [weights, version] = requireList(content, 2);
    requireVector(weights, this.layout.size, "model of the parameter server");
    requireCount(version, "version of the model");
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#start = weights;
    this.#version = version;
    this.setResult(weights);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }

  override exportState(): unknown {
    return { start: this.#start?.slice(), version: this.#version };
  }

  override importState(state: unknown): void {
    const saved = state as { start: Float32Array | undefined; version: number };
    this.#start = saved.start?.slice();
    this.#version = saved.version;
  }
}

import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
  netEncapsulation,
  requireId,
  requireList,
  requireVector,
  type BlockWeight,
  type NetEncapsulation,
} from "@psgd/core";
import { requireWhole } from "./compressors/index.js";

/*
 * Asynchronous gradient descent: the server applies each gradient when it comes, and answers with the model.
 *
 * Algorithm
 * 1. A client takes `local_steps` steps by itself, and gathers their gradients.
 * 2. It sends their sum to the server, which takes w ← w − sum at once, and answers with w.
 * 3. The client goes on from there, whatever others have done meanwhile.
 *
 * Needs: asgd or ssp; with ssgd it runs, but nodes at the same step hold different models, since answers differ by what
 * came in between; any redundancy, a node sends the mean of its own blocks; a parameter server.
 *
 * Sends: `[nodeId, gradient]` up, `[displacement]` down: 8d · n / local_steps bytes per step over the whole cluster.
 *
 * State: clients what they have gathered and where they are, 8d bytes; the server the model, 4d bytes, as its
 * displacement from where the job began.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters
 * - `local_steps` (whole number from 1, default 1): steps between two exchanges; the paper's n_push and n_fetch in one.
 *
 * Source: Dean et al. 2012, "Large scale distributed deep networks", section 4.1 (Downpour SGD). Each gradient counts in
 * full: n nodes move the model n times as far in a step as their mean would.
 */

/** Applies each gradient when it comes. */
export class AsgdServer extends Codec {
  static override readonly carries = "gradients";
  static override readonly returns = "displacement";

  #displacement = new Float32Array(this.layout.size);

  override receiveBlocks(content: unknown): NetEncapsulation {
    const [nodeId, gradient] = requireList(content, 2);
    requireId(nodeId, this.settings.nodes, "node id");
    requireVector(gradient, this.layout.size, `gradient of node ${nodeId}`);
    this.apply(gradient, this.#displacement, nodeId);
    return netEncapsulation(nodeId, [this.#displacement]);
  }

  /**
   * Moves the model by one gradient.
   * @param gradient - times the learning rate
   * @param displacement - of the model from where the job began; changed in place
   */
  protected apply(gradient: Float32Array, displacement: Float32Array, _nodeId: number): void {
    for (let i = 0; i < displacement.length; i++) displacement[i] -= gradient[i];
  }

  override exportState(): unknown {
    return this.#displacement.slice();
  }

  override importState(state: unknown): void {
    this.#displacement = (state as Float32Array).slice();
  }
}

/** Sends its gradients, and goes on from the server's model. */
export class AsgdClient extends Codec {
  static override readonly carries = "gradients";
  static override readonly returns = "displacement";
  static override readonly server = AsgdServer;

  readonly #localSteps = requireWhole(1, this.settings.param("local_steps", 1), "local_steps");
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  /** Gradients since the last exchange. */
  #gathered = new Float32Array(this.layout.size);
  /** Of this node's model. */
  #displacement: Float32Array = new Float32Array(this.layout.size);
  #isWaiting = false;

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const gradient = this.#ownBlocks.add(block);
    if (gradient === undefined) return undefined;
    const gathered = this.#gathered;
    for (let i = 0; i < gathered.length; i++) {
      gathered[i] += gradient[i];
      this.#displacement[i] -= gradient[i];
    }
    const { step } = block;
    if ((step + 1) % this.#localSteps !== 0 && step !== this.settings.stepCount - 1) {
      this.setResult(this.#displacement);
      return undefined;
    }
    this.#gathered = new Float32Array(gathered.length);
    this.#isWaiting = true;
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, gathered]);
  }

  override receiveBlocks(content: unknown): void {
    const [displacement] = requireList(content, 1);
    requireVector(displacement, this.layout.size, "model of the parameter server");
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#displacement = displacement;
    this.setResult(displacement);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }

  override exportState(): unknown {
    return { gathered: this.#gathered.slice(), displacement: this.#displacement.slice() };
  }

  override importState(state: unknown): void {
    const saved = state as { gathered: Float32Array; displacement: Float32Array };
    this.#gathered = saved.gathered.slice();
    this.#displacement = saved.displacement.slice();
  }
}

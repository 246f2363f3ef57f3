import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
  meanOf,
  netEncapsulation,
  requireId,
  requireList,
  requireStep,
  requireVector,
  type BlockWeight,
  type CodecReturn,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";
import { requireAtLeast, requireWhole } from "./compressors/index.js";

/*
 * Federated averaging that corrects where clients with different data drift to.
 *
 * Algorithm
 * 1. A client takes K local steps w ← w − η (g − cᵢ + c), η the learning rate: cᵢ is the gradient it has seen lately, c
 *    what all have seen.
 * 2. Then cᵢ⁺ = cᵢ − c + (x − w) / (K η), x the model of the round; it sends w and cᵢ⁺ − cᵢ to the server. For K η it takes
 *    the sum of the learning rates of the round; if that is 0, cᵢ stays.
 * 3. With those of all clients, the server takes x ← x + η_s · (mean of w − x) and c ← c + mean of (cᵢ⁺ − cᵢ), and sends
 *    both back. All c begin at 0.
 *
 * Needs: ssgd or asgd (a round waits for all clients in both); any redundancy, a node then takes the mean of its own
 * blocks for its model; a parameter server; plain gradient descent, from which the gradients are told by the way of
 * the weights.
 *
 * Sends: `[nodeId, weights, control, step]` up, `[weights, control, step]` down: 16d · n bytes per round over the whole
 * cluster, twice those of `fedavg`.
 *
 * State: clients cᵢ, c and x, 12d bytes; the server c, x and what came in the round, 8d · (n + 1) bytes.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters
 * - `local_steps` (whole number from 1, default 150): K.
 * - `server_rate` (number from 0, default 1): η_s.
 *
 * Source: Karimireddy et al. 2020, arXiv 1910.06378, Algorithm 1 with option II, all clients in every round.
 */

/** Averages models and controls. */
export class ScaffoldServer extends Codec {
  static override readonly carries = "weights";

  readonly #rate = requireAtLeast(0, this.settings.param("server_rate", 1), "server_rate");
  readonly #contributions = new Map<NodeId, Contribution>();
  #model: Float32Array | undefined;
  readonly #control = new Float32Array(this.layout.size);
  /** The step that contributions are collected for, or the first that may come. */
  #step = 0;

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const { nodes, nodeCount } = this.settings;
    const [nodeId, weights, control, step] = requireList(content, 4);
    requireId(nodeId, nodes, "node id");
    requireVector(weights, this.layout.size, `weights of node ${nodeId}`);
    requireVector(control, this.layout.size, `control of node ${nodeId}`);
    requireStep(step, this.settings, `step of node ${nodeId}`);
    if (step < this.#step) return undefined;
    if (step > this.#step) this.dispose();
    this.#step = step;
    this.#contributions.set(nodeId, { weights, control });
    if (this.#contributions.size < nodeCount) return undefined;

    const inNodeOrder = nodes.map((node) => this.#contributions.get(node)!);
    this.dispose();
    this.#step = step + 1;
    const model = (this.#model ??= this.weights.slice());
    const mean = meanOf(inNodeOrder.map((contribution) => contribution.weights));
    const change = meanOf(inNodeOrder.map((contribution) => contribution.control));
    for (let i = 0; i < model.length; i++) {
      model[i] += this.#rate * (mean[i] - model[i]);
      this.#control[i] += change[i];
    }
    return netEncapsulation(nodes, [model, this.#control, step]);
  }

  override dispose(): void {
    this.#contributions.clear();
  }

  override exportState(): unknown {
    const model = this.#model?.slice();
    const contributions = new Map(this.#contributions);
    return { step: this.#step, model, control: this.#control.slice(), contributions };
  }

  override importState(state: unknown): void {
    const saved = state as {
      step: number;
      model: Float32Array | undefined;
      control: Float32Array;
      contributions: Map<NodeId, Contribution>;
    };
    this.#step = saved.step;
    this.#model = saved.model?.slice();
    this.#control.set(saved.control);
    this.dispose();
    for (const [node, contribution] of saved.contributions)
      this.#contributions.set(node, contribution);
  }
}

interface Contribution {
  readonly weights: Float32Array;
  readonly control: Float32Array;
}

/** Trains locally, against its own drift. */
export class ScaffoldClient extends Codec {
  static override readonly carries = "weights";
  static override readonly server = ScaffoldServer;

  readonly #localSteps = requireWhole(1, this.settings.param("local_steps", 150), "local_steps");
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  readonly #ownControl = new Float32Array(this.layout.size);
  #control: Float32Array = new Float32Array(this.layout.size);
  /** The model that this round began with. */
  #start: Float32Array | undefined;
  /** Of the learning rates of this round's steps. */
  #rateSum = 0;
  #awaitedStep: number | undefined;

  override updateBlocks(block: BlockWeight): CodecReturn {
    this.#start ??= this.weights.slice();
    const weights = this.#ownBlocks.add(block);
    if (weights === undefined) return undefined;
    const rate = this.learningRate;
    const control = this.#control;
    const ownControl = this.#ownControl;
    for (let i = 0; i < weights.length; i++) weights[i] += rate * (ownControl[i] - control[i]);
    this.#rateSum += rate;
    const { step } = block;
    if ((step + 1) % this.#localSteps !== 0 && step !== this.settings.stepCount - 1) {
      this.setResult(weights);
      return undefined;
    }
    const start = this.#start;
    const rateSum = this.#rateSum;
    // A schedule may end at 0: no way, and nothing to tell a gradient from.
    const change = weights.map((value, i) =>
      rateSum > 0 ? (start[i] - value) / rateSum - control[i] : 0,
    );
    for (let i = 0; i < change.length; i++) ownControl[i] += change[i];
    this.#rateSum = 0;
    this.#start = undefined;
    this.#awaitedStep = step;
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, weights, change, step]);
  }

  override receiveBlocks(content: unknown): void {
    const [weights, control, step] = requireList(content, 3);
    requireVector(weights, this.layout.size, "global weights");
    requireVector(control, this.layout.size, "global control");
    if (step !== this.#awaitedStep) return;
    this.#awaitedStep = undefined;
    this.#control = control;
    this.setResult(weights);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }

  override exportState(): unknown {
    return {
      ownControl: this.#ownControl.slice(),
      control: this.#control.slice(),
      start: this.#start?.slice(),
      rateSum: this.#rateSum,
    };
  }

  override importState(state: unknown): void {
    const saved = state as {
      ownControl: Float32Array;
      control: Float32Array;
      start: Float32Array | undefined;
      rateSum: number;
    };
    this.#ownControl.set(saved.ownControl);
    this.#control = saved.control;
    this.#start = saved.start;
    this.#rateSum = saved.rateSum;
  }
}

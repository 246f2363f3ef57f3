import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
  PsgdError,
  meanOf,
  netEncapsulation,
  requireCount,
  requireId,
  requireList,
  requireStep,
  requireVector,
  type BlockWeight,
  type CodecReturn,
  type NetEncapsulation,
  type NodeId,
  type StepRole,
} from "@psgd/core";
import { Rounds } from "./federated/rounds.js";

/*
 * Federated averaging: nodes train by themselves for a while, then go on from the mean of their models; all of them, or
 * in each round a part that is drawn anew.
 *
 * Algorithm
 * 1. max(1, round(fraction · n)) clients, drawn alike by all from the job's seed and the round, take part; others rest.
 * 2. A client takes its own new weights as result, step after step.
 * 3. In every `local_steps`-th step, and in the job's last, it sends them to the parameter server instead. One that
 *    rested and is drawn for the next round asks the server for the model in that step; in the last step all do.
 * 4. When the server has the weights of all clients of the round, it sends their mean to them and to those who asked.
 * 5. The mean is each one's result of that step.
 *
 * Needs: ssgd or asgd (a round waits for its clients in both); any redundancy, a node then takes the mean of its own
 * blocks for its model; a parameter server.
 *
 * Sends: `[nodeId, weights, sampleCount, step]` up, `[nodeId, step]` to ask, `[PARAMETER_SERVER, weights, step]` down. With m
 * clients per round and q who ask (m · (1 − m/n) on average): 8d · m + 4d · q bytes per round, which with all clients is
 * 8d · n / local_steps per step over the whole cluster.
 *
 * State: clients count the samples of the round; the server holds the weights of a round, 4d · m bytes, the last mean,
 * 4d bytes, and who asked.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters
 * - `local_steps` (whole number from 1, default 150): steps per round; more: fewer bytes, and clients that drift
 *   further apart where their data differ.
 * - `fraction` (more than 0, at most 1, default 1): part of the clients in each round; less: fewer bytes and less
 *   computing per round, and means that scatter.
 * - `weighting` ("uniform" or "samples", default "uniform"): whether each client counts the same, as in the seed, or by
 *   the samples it trained on in the round, as in the paper.
 *
 * Source: McMahan et al. 2017, arXiv 1602.05629, Algorithm 1 (E = local_steps · batch size / samples of a client, C =
 * fraction); `FedAvgClient` and `FedAvgServer` of Parallel-SGD, whose
 * 150 steps are fixed and whose last round is left open.
 */

/** Collects the clients' weights and sends back their mean. */
export class FedAvgServer extends Codec {
  static override readonly carries = "weights";

  readonly #isWeightedBySamples = weighting(this.settings.param("weighting", "uniform"));
  readonly #rounds = new Rounds(this.settings);
  readonly #contributions = new Map<NodeId, Contribution>();
  /** By node that rests and asked for the model: the step in which it waits. */
  readonly #listening = new Map<NodeId, number>();
  /** The step that contributions are collected for, or the first that may come. */
  #step = 0;
  /** The last mean; before the first the weights that the job started with. */
  #globalWeights: Float32Array | undefined;

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    if (Array.isArray(content) && content.length === 2) return this.#receiveQuestion(content);
    const [nodeId, weights, sampleCount, step] = requireList(content, 4);
    requireStep(step, this.settings, "step of a contribution");
    const clients = this.#rounds.clientsIn(step);
    requireId(nodeId, clients, "node id");
    requireVector(weights, this.layout.size, `weights of node ${nodeId}`);
    requireCount(sampleCount, `sample count of node ${nodeId}`);
    // A contribution sent again must not count in the next round, nor two rounds mix.
    if (step < this.#step) return undefined;
    if (step > this.#step) this.#contributions.clear();
    this.#step = step;

    this.#contributions.set(nodeId, { weights, sampleCount });
    if (this.#contributions.size < clients.length) return undefined;

    const inNodeOrder = clients.map((node) => this.#contributions.get(node)!);
    const shares = inNodeOrder.map((contribution) => contribution.sampleCount);
    const mean = meanOf(
      inNodeOrder.map((contribution) => contribution.weights),
      this.#isWeightedBySamples ? shares : undefined,
    );
    const globalWeights = this.nextModel(mean, this.#globalWeights ?? this.weights);
    this.#step = step + 1;
    this.#globalWeights = globalWeights;
    const asking = this.settings.nodes.filter((node) => this.#listening.get(node) === step);
    this.dispose();
    for (const node of asking) this.#listening.delete(node);
    return netEncapsulation([...clients, ...asking], [PARAMETER_SERVER, globalWeights, step]);
  }

  /**
   * The model of the next round; what federated optimizers differ in.
   * @param mean - of the clients' weights; may be changed and returned
   * @param current - the model of this round
   */
  protected nextModel(mean: Float32Array, _current: Readonly<Float32Array>): Float32Array {
    return mean;
  }

  #receiveQuestion([nodeId, step]: readonly unknown[]): NetEncapsulation | undefined {
    requireId(nodeId, this.settings.nodes, "node id");
    requireStep(step, this.settings, `step of node ${nodeId}`);
    // A round that is still open has its mean later; within a round, the one before has the newest.
    if (step >= this.#step && this.#rounds.isEnd(step)) {
      this.#listening.set(nodeId, step);
      return undefined;
    }
    const weights = this.#globalWeights ?? this.weights.slice();
    return netEncapsulation(nodeId, [PARAMETER_SERVER, weights, step]);
  }

  override dispose(): void {
    this.#contributions.clear();
  }

  override exportState(): unknown {
    return {
      step: this.#step,
      contributions: new Map(this.#contributions),
      listening: new Map(this.#listening),
      globalWeights: this.#globalWeights?.slice(),
    };
  }

  override importState(state: unknown): void {
    const saved = state as {
      step: number;
      contributions: Map<NodeId, Contribution>;
      listening: Map<NodeId, number>;
      globalWeights: Float32Array | undefined;
    };
    this.#step = saved.step;
    this.#globalWeights = saved.globalWeights;
    this.dispose();
    for (const [node, contribution] of saved.contributions) {
      this.#contributions.set(node, contribution);
    }
    this.#listening.clear();
    for (const [node, step] of saved.listening) this.#listening.set(node, step);
  }
}

interface Contribution {
  readonly weights: Float32Array;
  readonly sampleCount: number;
}

/** Trains locally, and hands its weights in at the end of each round. */
export class FedAvgClient extends Codec {
  static override readonly carries = "weights";
  static override readonly server = FedAvgServer;

  readonly #rounds = new Rounds(this.settings);
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  #sampleCount = 0;
  /** The step whose mean this client waits for. */
  #awaitedStep: number | undefined;

  override roleIn(step: number, nodeId = this.nodeId): StepRole {
    return this.#rounds.roleIn(step, nodeId);
  }

  /** Whether models are averaged in this step. */
  protected isEndOfRound(step: number): boolean {
    return this.#rounds.isEnd(step);
  }

  override onListen(step: number): NetEncapsulation {
    this.#awaitedStep = step;
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, step]);
  }

  override updateBlocks(block: BlockWeight): CodecReturn {
    this.#sampleCount += block.sampleCount;
    const weights = this.#ownBlocks.add(block);
    if (weights === undefined) return undefined;

    const { step } = block;
    if (!this.#rounds.isEnd(step)) {
      this.setResult(weights);
      return undefined;
    }
    const message = [this.nodeId, weights, this.#sampleCount, step];
    this.#sampleCount = 0;
    this.#awaitedStep = step;
    return netEncapsulation(PARAMETER_SERVER, message);
  }

  override receiveBlocks(content: unknown): void {
    const [, weights, step] = requireList(content, 3);
    requireVector(weights, this.layout.size, "global weights");
    if (step !== this.#awaitedStep) return;
    this.#awaitedStep = undefined;
    this.setResult(weights);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }

  override exportState(): unknown {
    return { sampleCount: this.#sampleCount };
  }

  override importState(state: unknown): void {
    this.#sampleCount = (state as { sampleCount: number }).sampleCount;
  }
}

function weighting(value: string): boolean {
  if (value === "uniform" || value === "samples") return value === "samples";
  throw new PsgdError(
    "SETTINGS_INVALID",
    `parameter \`weighting\`: expected "uniform" or "samples", got "${value}"; codec FedAvgServer; set it with \`--param weighting=samples\``,
  );
}

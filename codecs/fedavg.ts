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
  requireVector,
  type BlockWeight,
  type CodecContext,
  type CodecReturn,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";

/*
 * Federated averaging: every node trains by itself for a while, then all go on from the mean of their models.
 *
 * Algorithm
 * 1. A client takes its own new weights as result, step after step.
 * 2. In every `local_steps`-th step, and in the job's last, it sends them to the parameter server instead.
 * 3. When the server has the weights of all clients of that step, it sends their mean to all.
 * 4. The mean is each client's result of that step.
 *
 * Needs: ssgd or asgd (a round waits for all clients in both); any redundancy, a node then takes the mean of its own
 * blocks for its model; a parameter server.
 *
 * Sends: `[nodeId, weights, sampleCount, step]` up, `[PARAMETER_SERVER, weights, step]` down: 8d · n bytes per round, that is
 * 8d · n / local_steps per step over the whole cluster.
 *
 * State: clients count the samples of the round; the server holds the weights of a round, 4d · n bytes, and its step.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters
 * - `local_steps` (whole number from 1, default 150): steps per round; more: fewer bytes, and clients that drift
 *   further apart where their data differ.
 * - `weighting` ("uniform" or "samples", default "uniform"): whether each client counts the same, as in the seed, or by
 *   the samples it trained on in the round, as in the paper.
 *
 * Source: McMahan et al. 2017, arXiv 1602.05629, Algorithm 1; `FedAvgClient` and `FedAvgServer` of Parallel-SGD, whose
 * 150 steps are fixed and whose last round is left open.
 */

/** Collects the clients' weights and sends back their mean. */
export class FedAvgServer extends Codec {
  static override readonly carries = "weights";

  readonly #isWeightedBySamples = weighting(this.settings.param("weighting", "uniform"));
  readonly #contributions = new Map<NodeId, Contribution>();
  /** The step that contributions are collected for, or the first that may come. */
  #step = 0;

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const [nodeId, weights, sampleCount, step] = requireList(content, 4);
    requireId(nodeId, this.settings.nodes, "node id");
    requireVector(weights, this.layout.size, `weights of node ${nodeId}`);
    requireCount(sampleCount, `sample count of node ${nodeId}`);
    requireCount(step, `step of node ${nodeId}`);
    // A contribution sent again must not count in the next round, nor two rounds mix.
    if (step < this.#step) return undefined;
    if (step > this.#step) this.dispose();
    this.#step = step;

    this.#contributions.set(nodeId, { weights, sampleCount });
    if (this.#contributions.size < this.settings.nodeCount) return undefined;

    const inNodeOrder = this.settings.nodes.map((node) => this.#contributions.get(node)!);
    const shares = inNodeOrder.map((contribution) => contribution.sampleCount);
    const globalWeights = meanOf(
      inNodeOrder.map((contribution) => contribution.weights),
      this.#isWeightedBySamples ? shares : undefined,
    );
    this.#step = step + 1;
    this.dispose();
    return netEncapsulation(this.settings.nodes, [PARAMETER_SERVER, globalWeights, step]);
  }

  override dispose(): void {
    this.#contributions.clear();
  }

  override exportState(): unknown {
    return { step: this.#step, contributions: new Map(this.#contributions) };
  }

  override importState(state: unknown): void {
    const saved = state as { step: number; contributions: Map<NodeId, Contribution> };
    this.#step = saved.step;
    this.dispose();
    for (const [node, contribution] of saved.contributions) {
      this.#contributions.set(node, contribution);
    }
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

  readonly #localSteps: number;
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  #sampleCount = 0;
  /** The step whose mean this client waits for. */
  #awaitedStep: number | undefined;

  constructor(context: CodecContext) {
    super(context);
    this.#localSteps = this.settings.param("local_steps", 150);
    if (!Number.isInteger(this.#localSteps) || this.#localSteps < 1) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `parameter \`local_steps\`: expected a whole number from 1, got ${this.#localSteps}; codec FedAvgClient; set it with \`--param local_steps=150\``,
      );
    }
  }

  override updateBlocks(block: BlockWeight): CodecReturn {
    this.#sampleCount += block.sampleCount;
    const weights = this.#ownBlocks.add(block);
    if (weights === undefined) return undefined;

    const { step } = block;
    const isEndOfRound = (step + 1) % this.#localSteps === 0;
    // Without a last round the nodes would end the job with a model each.
    if (!isEndOfRound && step !== this.settings.stepCount - 1) {
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

import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
  PsgdError,
  isPsgdError,
  netEncapsulation,
  nodeName,
  requireCount,
  requireId,
  requireList,
  requireVector,
  type BlockWeight,
  type CodecContext,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";
import {
  aggregatorNamed,
  requireEnough,
  requireFinite,
  type Aggregator,
} from "./aggregators/index.js";

/*
 * A parameter server that some nodes may lie to.
 *
 * Algorithm
 * 1. A client sends its gradient to the server.
 * 2. A gradient that is not finite is left out, and so is a node that says it is at a later step than the others; the log
 *    says which. Whoever is left out is one of the f, so the aggregator stands as many fewer among the rest.
 * 3. With those of all nodes, in order of node ids, the server makes one gradient by the aggregator that the job names, and
 *    sends it to all. With more than f left out as not finite it fails.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; a
 * parameter server; honest nodes whose data are alike, as an aggregator takes who differs for who lies; one codec for the
 * model, as one for each tensor would judge each by itself. A node that sends nothing holds all up, and one that sends in
 * the name of another is not found out.
 *
 * Sends: `[nodeId, gradient, step]` up, `[gradient, step]` down: 8d · n bytes per step over the whole cluster.
 *
 * State: the server the newest gradient of each node and the last result, 4d · (n + 1) bytes.
 *
 * Error feedback: no.
 *
 * Parameters
 * - `aggregator` ("median", "trimmed_mean", "krum", "multi_krum", "geometric_median", "centered_clipping" or "mean", default
 *   "median"): Krum takes one node's gradient; the mean stands nobody who lies.
 * - `byzantine` (whole number from 0, default 1): nodes that may lie: n must be at least 2 f + 1, for Krum 2 f + 3.
 * - `chosen` (whole number from 1, default 2): gradients that multi-Krum takes the mean of; the usual choice is n − f.
 * - `radius` (number from 0, default 1): τ of centered clipping: how far from the last result a gradient times the learning
 *   rate counts in full, in each of three rounds. A good one is a little more than honest nodes differ by; far more is the mean.
 *
 * Source: of each aggregator in its file in `aggregators/`.
 */

interface Contribution {
  readonly step: number;
  /** `undefined` from a node that sent no finite numbers. */
  readonly gradient: Float32Array | undefined;
}

/** Makes one gradient of those that may be right. */
export class RobustServer extends Codec {
  static override readonly carries = "gradients";

  readonly #byzantine = this.settings.param("byzantine", 1);
  /** The newest of each node. */
  readonly #contributions = new Map<NodeId, Contribution>();
  /** The first step that is not answered. */
  #step = 0;
  #previous: Float32Array | undefined;

  constructor(context: CodecContext) {
    super(context);
    const { nodeCount } = this.settings;
    requireEnough(nodeCount, this.#aggregatorOf(nodeCount), this.#byzantine);
  }

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const { nodes, nodeCount } = this.settings;
    const [nodeId, gradient, step] = requireList(content, 3);
    requireId(nodeId, nodes, "node id");
    requireVector(gradient, this.layout.size, `gradient of node ${nodeId}`);
    requireCount(step, "step");
    const newest = this.#contributions.get(nodeId)?.step ?? -1;
    if (step < this.#step || step <= newest) return undefined;
    const isFinite = this.#isFinite(gradient, nodeId, step);
    this.#contributions.set(nodeId, { step, gradient: isFinite ? gradient : undefined });
    if (this.#contributions.size < nodeCount) return undefined;

    // What one node says about the step must not decide what becomes of the others' gradients.
    const first = Math.min(...[...this.#contributions.values()].map((of) => of.step));
    const here = nodes.filter((node) => this.#contributions.get(node)!.step === first);
    if (here.length < nodeCount - this.#byzantine) return undefined;
    for (const node of nodes)
      if (!here.includes(node))
        this.log.warn(`${nodeName(node)} is left out of step ${first}: it says it is further`);
    return netEncapsulation(nodes, [this.#combine(first, here), first]);
  }

  override dispose(): void {
    this.#contributions.clear();
  }

  override exportState(): unknown {
    return {
      step: this.#step,
      previous: this.#previous?.slice(),
      contributions: copyOf(this.#contributions),
    };
  }

  override importState(state: unknown): void {
    const saved = state as {
      step: number;
      previous: Float32Array | undefined;
      contributions: ReadonlyMap<NodeId, Contribution>;
    };
    this.#step = saved.step;
    this.#previous = saved.previous?.slice();
    this.dispose();
    for (const [node, contribution] of copyOf(saved.contributions))
      this.#contributions.set(node, contribution);
  }

  /** Answers a step with what some nodes, in order of ids, sent in it. */
  #combine(step: number, nodes: readonly NodeId[]): Float32Array {
    const { nodeCount } = this.settings;
    const finite = nodes.flatMap((node) => this.#contributions.get(node)!.gradient ?? []);
    if (finite.length < nodeCount - this.#byzantine) {
      throw new PsgdError(
        "NOT_FINITE",
        `gradients of step ${step}: expected finite ones of all nodes but ${this.#byzantine}, got ${finite.length} of ${nodeCount}; lower \`--learn-rate\`, or look for such values in the data`,
      );
    }
    this.#previous = this.#aggregatorOf(finite.length).aggregate(finite, this.#previous);
    this.#step = step + 1;
    for (const node of nodes) this.#contributions.delete(node);
    return this.#previous;
  }

  /** Of as many gradients: who was left out has lied, so fewer of the others do. */
  #aggregatorOf(count: number): Aggregator {
    const { settings } = this;
    return aggregatorNamed(settings.param("aggregator", "median"), {
      byzantine: this.#byzantine - (settings.nodeCount - count),
      chosen: Math.min(settings.param("chosen", 2), count),
      radius: settings.param("radius", 1),
    });
  }

  #isFinite(gradient: Float32Array, nodeId: NodeId, step: number): boolean {
    try {
      requireFinite(gradient, `contribution of ${nodeName(nodeId)}`);
      return true;
    } catch (error) {
      if (!isPsgdError(error)) throw error;
      this.log.warn(`${nodeName(nodeId)} is left out of step ${step}: ${error.message}`);
      return false;
    }
  }
}

function copyOf(contributions: ReadonlyMap<NodeId, Contribution>): Map<NodeId, Contribution> {
  return new Map(
    [...contributions].map(([node, { step, gradient }]) => [
      node,
      { step, gradient: gradient?.slice() },
    ]),
  );
}

/** Sends its gradient, and applies what the server makes of all. */
export class RobustClient extends Codec {
  static override readonly carries = "gradients";
  static override readonly server = RobustServer;

  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  #awaitedStep: number | undefined;

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const gradient = this.#ownBlocks.add(block);
    if (gradient === undefined) return undefined;
    this.#awaitedStep = block.step;
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, gradient, block.step]);
  }

  override receiveBlocks(content: unknown): void {
    const [gradient, step] = requireList(content, 2);
    requireVector(gradient, this.layout.size, "gradient of the parameter server");
    if (step !== this.#awaitedStep) return;
    this.#awaitedStep = undefined;
    this.setResult(gradient);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }
}

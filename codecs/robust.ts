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
 * 2. A gradient that is not finite is left out, and said so in the log.
 * 3. With those of all nodes, in order of node ids, the server makes one gradient by the aggregator that the job names, and
 *    sends it to all.
 *
 * Needs: ssgd or asgd (a step waits for all nodes in both); any redundancy, a node sends the mean of its own blocks; a
 * parameter server; honest nodes whose data are alike, as an aggregator takes who differs for who lies.
 *
 * Sends: `[nodeId, gradient, step]` up, `[gradient, step]` down: 8d · n bytes per step over the whole cluster.
 *
 * State: the server the gradients of a step and the last result, 4d · (n + 1) bytes.
 *
 * Error feedback: no.
 *
 * Parameters
 * - `aggregator` ("median", "trimmed_mean", "krum", "multi_krum", "geometric_median", "centered_clipping" or "mean", default
 *   "median"): Krum takes one node's gradient; the mean stands nobody who lies.
 * - `byzantine` (whole number from 0, default 1): nodes that may lie: n must be at least 2 f + 1, for Krum 2 f + 3.
 * - `chosen` (whole number from 1, default 2): gradients that multi-Krum takes the mean of.
 * - `radius` (number from 0, default 1): what a gradient times the learning rate may differ from the last result in centered
 *   clipping.
 *
 * Source: of each aggregator in its file in `aggregators/`.
 */

/** Makes one gradient of those that may be right. */
export class RobustServer extends Codec {
  static override readonly carries = "gradients";

  readonly #aggregator: Aggregator;
  readonly #byzantine = this.settings.param("byzantine", 1);
  /** Of the step; `undefined` from a node that sent no finite numbers. */
  readonly #gradients = new Map<NodeId, Float32Array | undefined>();
  /** The step that gradients are collected for, or the first that may come. */
  #step = 0;
  #previous: Float32Array | undefined;

  constructor(context: CodecContext) {
    super(context);
    const { settings } = this;
    this.#aggregator = aggregatorNamed(settings.param("aggregator", "median"), {
      byzantine: this.#byzantine,
      chosen: settings.param("chosen", 2),
      radius: settings.param("radius", 1),
    });
    requireEnough(settings.nodeCount, this.#aggregator, this.#byzantine);
  }

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const { nodes, nodeCount } = this.settings;
    const [nodeId, gradient, step] = requireList(content, 3);
    requireId(nodeId, nodes, "node id");
    requireVector(gradient, this.layout.size, `gradient of node ${nodeId}`);
    requireCount(step, "step");
    if (step < this.#step) return undefined;
    if (step > this.#step) this.dispose();
    this.#step = step;
    this.#gradients.set(nodeId, this.#isFinite(gradient, nodeId) ? gradient : undefined);
    if (this.#gradients.size < nodeCount) return undefined;

    const finite = nodes.flatMap((node) => this.#gradients.get(node) ?? []);
    if (finite.length < nodeCount - this.#byzantine) {
      throw new PsgdError(
        "NOT_FINITE",
        `gradients of step ${step}: expected finite ones of all nodes but ${this.#byzantine}, got ${finite.length} of ${nodeCount}; lower \`--learn-rate\`, or look for such values in the data`,
      );
    }
    // Who was left out has lied, so fewer others do.
    const result = this.#aggregator.aggregate(this.#padded(finite), this.#previous);
    this.dispose();
    this.#step = step + 1;
    this.#previous = result;
    return netEncapsulation(nodes, [result, step]);
  }

  override dispose(): void {
    this.#gradients.clear();
  }

  override exportState(): unknown {
    return {
      step: this.#step,
      previous: this.#previous?.slice(),
      gradients: new Map(this.#gradients),
    };
  }

  override importState(state: unknown): void {
    const saved = state as {
      step: number;
      previous: Float32Array | undefined;
      gradients: Map<NodeId, Float32Array | undefined>;
    };
    this.#step = saved.step;
    this.#previous = saved.previous;
    this.dispose();
    for (const [node, gradient] of saved.gradients) this.#gradients.set(node, gradient);
  }

  #isFinite(gradient: Float32Array, nodeId: NodeId): boolean {
    try {
      requireFinite(gradient, `contribution of ${nodeName(nodeId)}`);
      return true;
    } catch (error) {
      if (!isPsgdError(error)) throw error;
      this.log.warn(`${nodeName(nodeId)} is left out of step ${this.#step}: ${error.message}`);
      return false;
    }
  }

  /** Zeros in the place of gradients that are left out: one more lie that the aggregator is made to stand. */
  #padded(finite: readonly Float32Array[]): readonly Float32Array[] {
    const missing = this.settings.nodeCount - finite.length;
    const zeros = Array.from({ length: missing }, () => new Float32Array(this.layout.size));
    return [...finite, ...zeros];
  }
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

import { PsgdError, requireLength, type BlockId } from "@psgd/core";
import type { GradientDescent } from "../gradient-descent/gradient-descent.js";
import type { OptimizerRule } from "./optimizer-rule.js";

export interface OptimizerOptions {
  readonly rule: OptimizerRule;
  /** Starts a gradient descent with an empty memory, for vectors of the model's size. */
  readonly createDescent: () => GradientDescent;
  /** The weights the job starts with; copied. */
  readonly initialWeights: Readonly<Float32Array>;
}

/**
 * Turns the gradients of one node into the content of its blocks, and the results of its codec into new weights.
 *
 * Gradient descent comes before the codec: codecs see steps already scaled, and may add to them what compression lost
 * earlier. Its memory is kept *per block*, not per node. A rule with memory then advances once per step, however many
 * blocks the node computes, and all nodes that hold a block see the same gradients of it from the first step on, so
 * that with redundancy their copies of its content are equal bit for bit; one memory per node would depend on which
 * other blocks that node holds. Without redundancy a node has one block, and the two are the same. The price is memory:
 * (blocks per node) × (vectors of the rule). No combination of rule, optimizer and redundancy has to be refused.
 */
export class Optimizer {
  readonly rule: OptimizerRule;
  readonly #createDescent: () => GradientDescent;
  readonly #descents = new Map<BlockId, GradientDescent>();
  readonly #initialWeights: Float32Array;
  /** Answers for the learning rate until there is a block. */
  readonly #unused: GradientDescent;

  constructor({ rule, createDescent, initialWeights }: OptimizerOptions) {
    this.rule = rule;
    this.#createDescent = createDescent;
    this.#initialWeights = initialWeights.slice();
    this.#unused = createDescent();
  }

  /** Of the step at hand: the one whose content was made last. */
  get learningRate(): number {
    const [descent = this.#unused] = this.#descents.values();
    return descent.learningRate;
  }

  /**
   * Turns the gradient of one block into its content, in place. Call it once per step for each block of the node.
   * @throws {PsgdError} SHAPE_MISMATCH
   */
  content(gradient: Float32Array, weights: Readonly<Float32Array>, blockId: BlockId): void {
    requireLength(gradient, this.#initialWeights.length, `gradient of block ${blockId}`);
    this.#descentOf(blockId).delta(gradient);
    this.rule.content(gradient, weights);
  }

  /**
   * Changes the weights, in place, by the result of a step; not before a gradient that is being computed from them is
   * done.
   * @throws {PsgdError} SHAPE_MISMATCH
   */
  apply(result: Readonly<Float32Array>, weights: Float32Array): void {
    requireLength(result, weights.length, "result of a step");
    this.rule.apply(result, weights, this.#initialWeights);
  }

  /** The memories of all blocks and the initial weights: copies, packable. */
  exportState(): unknown {
    return {
      initialWeights: this.#initialWeights.slice(),
      descents: new Map([...this.#descents].map(([block, d]) => [block, d.exportState()])),
    };
  }

  /**
   * Takes over what `exportState` returned, for the same rule, gradient descent and model.
   * @throws {PsgdError} SHAPE_MISMATCH
   */
  importState(state: unknown): void {
    const { initialWeights, descents } = (state ?? {}) as Record<string, unknown>;
    if (!(initialWeights instanceof Float32Array && descents instanceof Map)) {
      throw new PsgdError(
        "SHAPE_MISMATCH",
        "state of the optimizer: expected `initialWeights` and `descents`, got something else; it was saved by another version",
      );
    }
    requireLength(initialWeights, this.#initialWeights.length, "initial weights of the optimizer");
    this.#initialWeights.set(initialWeights);
    this.#descents.clear();
    for (const [blockId, memory] of descents as Map<BlockId, unknown>) {
      this.#descentOf(blockId).importState(memory);
    }
  }

  #descentOf(blockId: BlockId): GradientDescent {
    let descent = this.#descents.get(blockId);
    if (descent === undefined) {
      descent = this.#createDescent();
      this.#descents.set(blockId, descent);
    }
    return descent;
  }
}

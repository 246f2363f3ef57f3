import { seededRandom, type BlockId, type GlobalSettings } from "@psgd/core";
import type { OptimizerRule } from "@psgd/sgd";
import type { ModelOracle } from "./invariants.js";

/** A power of two: multiplying by it rounds nothing away. */
const LEARNING_RATE = 0.25;

/**
 * What a simulated job trains: block b pulls the weights towards a point of its own, f_b(w) = ½‖w − c_b‖². Its gradient
 * w − c_b is exact in one rounding, so that the whole training has a closed form, the same on every machine.
 */
export class QuadraticProblem implements ModelOracle {
  readonly learningRate: number = LEARNING_RATE;
  readonly initialWeights: Float32Array;
  readonly #rule: OptimizerRule;
  readonly #targets: readonly Float32Array[];
  readonly #isMean: boolean;
  readonly #models: Float32Array[] = [];

  /** @param isMean - whether codecs are to come to the plain mean of all blocks */
  constructor(
    seed: number,
    size: number,
    options: { settings: GlobalSettings; rule: OptimizerRule; isMean: boolean },
  ) {
    const random = seededRandom(`${seed}/problem`);
    const draw = (): Float32Array =>
      Float32Array.from({ length: size }, () => 8 * random.float() - 4);
    this.initialWeights = draw();
    this.#targets = options.settings.blocks.map(draw);
    this.#rule = options.rule;
    this.#isMean = options.isMean;
  }

  /** What a node's codec is given for a block. */
  content(blockId: BlockId, weights: Readonly<Float32Array>): Float32Array {
    const target = this.#targets[blockId]!;
    const delta = weights.map((value, i) => LEARNING_RATE * Math.fround(value - target[i]!));
    this.#rule.content(delta, weights);
    return delta;
  }

  /** Folds the means of all steps, summed in double precision in the order of blocks. */
  weightsAfter(step: number): Readonly<Float32Array> | undefined {
    if (!this.#isMean) return undefined;
    while (this.#models.length <= step) {
      const before = this.#models.at(-1) ?? this.initialWeights;
      const contents = this.#targets.map((_, block) => this.content(block, before));
      const mean = before.map(
        (_, i) => contents.reduce((sum, content) => sum + content[i]!, 0) / contents.length,
      );
      this.#models.push(
        this.#rule.returns === "weights" ? mean : before.map((value, i) => value - mean[i]!),
      );
    }
    return this.#models[step];
  }

  /** Where all blocks together pull the weights to: the mean of their points. */
  get minimum(): Float32Array {
    return this.initialWeights.map(
      (_, i) => this.#targets.reduce((sum, target) => sum + target[i]!, 0) / this.#targets.length,
    );
  }
}

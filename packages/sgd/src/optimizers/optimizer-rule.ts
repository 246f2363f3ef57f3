import type { Carries, Returns } from "@psgd/core";

/** What the vectors of a job mean: how a step of gradient descent becomes block content, and a result new weights. */
export interface OptimizerRule {
  readonly carries: Carries;
  readonly returns: Returns;
  /**
   * How many steps later than its content was sent a result is applied. With 1 the gradient of step t is computed from
   * weights that lack the result of step t − 1, so a node computes while its blocks travel:
   *
   *     for each step t:
   *       gradient of step t, while the result of step t − 1 arrives
   *       apply the result of step t − 1, if there is one
   *       send the content of step t
   *       with delay 0: wait for the result of step t and apply it
   *     at the end, with delay 1: apply the last result
   */
  readonly resultDelay: 0 | 1;
  /**
   * Turns a step into block content, in place.
   * @param delta - what gradient descent would subtract from the weights
   */
  content(delta: Float32Array, weights: Readonly<Float32Array>): void;
  /** Changes the weights, in place, by the result of a step. */
  apply(
    result: Readonly<Float32Array>,
    weights: Float32Array,
    initialWeights: Readonly<Float32Array>,
  ): void;
}

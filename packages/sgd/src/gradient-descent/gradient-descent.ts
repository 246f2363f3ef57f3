/**
 * Turns a gradient into the step to take: one rule with its memory, for one sequence of gradients.
 *
 * All rules compute each element in double precision and round once when they store, with no function that engines
 * may approximate, so that two nodes that see the same gradients take the same steps, bit for bit.
 */
export interface GradientDescent {
  /** Of the last step; before the first one, of the first. */
  readonly learningRate: number;
  /**
   * Replaces a gradient, in place, by what is to be subtracted from the weights, and advances the memory by one step.
   * @param gradient - `size` values; not kept
   */
  delta(gradient: Float32Array): void;
  /** A copy of the memory: a packable value. */
  exportState(): unknown;
  /**
   * Takes over what `exportState` of the same rule returned.
   * @throws {PsgdError} SHAPE_MISMATCH if it is the memory of another rule or of another model
   */
  importState(state: unknown): void;
}

/** One rule of gradient descent, as the registry lists it. */
export interface GradientDescentRule {
  readonly defaultLearningRate: number;
  /**
   * Starts with an empty memory.
   * @param size - number of values of each gradient
   */
  create(size: number, learningRate: number): GradientDescent;
}

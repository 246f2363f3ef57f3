import type * as tf from "@tensorflow/tfjs";
import type { TensorFlow } from "../tensorflow.js";

/** What a model is built for. */
export interface ModelShape {
  /** Shape of one sample, without the batch: [784] or [28, 28, 1]. */
  readonly inputShape: readonly number[];
  /** Number of classes, or of values to predict. */
  readonly outputSize: number;
}

/**
 * Makes a model; the default export of a model file is one. It may ignore its arguments. Initializers without a seed
 * of their own repeat from the job's seed.
 *
 * @example
 * export default (tf, { inputShape, outputSize }) =>
 *   tf.sequential({
 *     layers: [
 *       tf.layers.dense({ inputShape, units: 32, activation: "relu" }),
 *       tf.layers.dense({ units: outputSize }),
 *     ],
 *   });
 */
export type ModelBuilder = (
  tensorflow: TensorFlow,
  options: ModelShape & { readonly seed: number },
) => tf.LayersModel;

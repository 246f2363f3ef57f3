import type * as tf from "@tensorflow/tfjs";
import type { TensorFlow } from "../tensorflow.js";

/**
 * Another tensor on the same data, which no tape knows. A clone would be a kernel, which is recorded, and moves data to
 * the backend in use.
 */
export function sameData(tensorflow: TensorFlow, { dataId, shape, dtype }: tf.Tensor): tf.Tensor {
  const engine = tensorflow.engine();
  engine.state.tensorInfo.get(dataId)!.backend.incRef(dataId);
  return engine.makeTensorFromTensorInfo({ dataId, shape, dtype });
}

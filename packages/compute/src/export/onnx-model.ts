import { isPsgdError, type Plan } from "@psgd/core";
import { lowerInference } from "../engines/onnx/lower-inference.js";
import { nativeSessions } from "../engines/onnx/native-session.js";
import { elementCount } from "../kernels/kernel-call.js";

/** Batches that an open model is tried with, besides that of its plan. */
const TRIED_BATCH_SIZES = [1, 3, 16];
const TOLERANCE = 1e-5;

/**
 * A trained model as an ONNX file (opset 17): input `x`, output `prediction`, for batches of any size where the model
 * allows it, else of the size that the plan has. It is loaded and run before it is given out.
 *
 * @param predict - of `TracedModel`
 * @param vectors - flat as in the layouts of the plan's parameters and of its state
 */
export function onnxModelFile(
  predict: Plan,
  vectors: { readonly parameters: Float32Array; readonly state: Float32Array },
): Uint8Array {
  const closed = lowerInference(predict, vectors, false);
  const open = lowerInference(predict, vectors, true);
  try {
    return givesTheSame(predict, open, closed) ? open : closed;
  } catch (error) {
    // Where onnxruntime is not to be had, nothing can be tried; the closed form makes no assumption.
    if (isPsgdError(error, "BACKEND_UNAVAILABLE")) return closed;
    throw error;
  }
}

/** Whether the open model predicts, in batches of other sizes, what the closed one does for the same rows. */
function givesTheSame(predict: Plan, open: Uint8Array, closed: Uint8Array): boolean {
  const [input, output] = [predict.inputs[0]!, predict.outputs[0]!];
  const [batchSize, ...inputShape] = predict.values[input.value]!.shape;
  const [, ...outputShape] = predict.values[output.value]!.shape;
  const run = (model: Uint8Array, count: number): Float32Array => {
    const tensor = (shape: readonly number[], fill: (i: number) => number) => ({
      location: "cpu" as const,
      type: "float32" as const,
      dims: [count, ...shape],
      data: Float32Array.from({ length: count * elementCount(shape) }, (_, i) => fill(i)),
    });
    // Rows repeat, so that each has its counterpart; zeros and ones are also class numbers that any vocabulary has.
    const rowSize = elementCount(inputShape);
    const x = tensor(inputShape, (i) => Number((i % rowSize) % 3 === 1));
    const prediction = tensor(outputShape, () => NaN);
    const openSession = nativeSessions({ provider: "cpu", threads: 1 });
    const session = openSession(model, { [input.name]: x }, { [output.name]: prediction });
    session.run();
    session.dispose();
    return prediction.data;
  };
  const expected = run(closed, batchSize!).subarray(0, elementCount(outputShape));
  try {
    return [batchSize!, ...TRIED_BATCH_SIZES].every((count) =>
      run(open, count).every(
        (value, i) => Math.abs(value - expected[i % expected.length]!) <= TOLERANCE,
      ),
    );
  } catch (error) {
    if (isPsgdError(error)) throw error;
    return false;
  }
}

import type * as tf from "@tensorflow/tfjs";
import { isPsgdError, PsgdError, seededRandom } from "@psgd/core";
import { loadTensorFlow } from "../tensorflow.js";
import type { ModelBuilder, ModelShape } from "./model-builder.js";

/**
 * Runs a builder and checks what it made.
 *
 * @param builder - one of `MODELS`, or what a user's module exports
 * @param options.seed - repeats the initial weights; TensorFlow.js draws them from `Math.random`, which is a seeded
 *   source during the call
 * @param options.name - what messages call the model
 * @returns the model, which is the caller's to dispose
 * @throws {PsgdError} MODEL_INVALID
 */
export function buildModel(
  builder: unknown,
  options: ModelShape & { readonly seed: number; readonly name: string },
): tf.LayersModel {
  const { name, inputShape, outputSize, seed } = options;
  const invalid = (expected: string, got: string, remedy?: string, cause?: unknown): never => {
    const text = `model \`${name}\`: expected ${expected}, got ${got}`;
    throw new PsgdError("MODEL_INVALID", remedy === undefined ? text : `${text}; ${remedy}`, {
      cause,
    });
  };
  if (typeof builder !== "function") {
    return invalid(
      "a function as default export",
      describe(builder),
      "export default (tf, { inputShape, outputSize }) => model",
    );
  }
  const tensorflow = loadTensorFlow();
  const model = withSeededMathRandom(seed, () => {
    try {
      const built: unknown = (builder as ModelBuilder)(tensorflow, {
        inputShape,
        outputSize,
        seed,
      });
      if (!(built instanceof tensorflow.LayersModel)) {
        return invalid("a LayersModel", describe(built), remedyFor(built));
      }
      // A sequential model is built at its first use only, which must not come after this call.
      if (!built.built) built.build([null, ...inputShape]);
      return built;
    } catch (error) {
      if (isPsgdError(error)) throw error;
      const message = error instanceof Error ? error.message : String(error);
      return invalid("a model", `"${message}"`, undefined, error);
    }
  });
  if (model.inputs.length !== 1 || model.outputs.length !== 1) {
    invalid("one input and one output", `${model.inputs.length} and ${model.outputs.length}`);
  }
  requireShape(model.inputs[0]!, inputShape, "input", invalid);
  requireShape(model.outputs[0]!, [outputSize], "output", invalid);
  if (model.trainableWeights.length === 0) {
    invalid("trainable weights", "none", "add a layer that has some, or set `trainable`");
  }
  return model;
}

/** tfjs initializers seed themselves from Math.random; the swap is undone before anything else can run. */
function withSeededMathRandom<T>(seed: number, run: () => T): T {
  const original = Math.random;
  const random = seededRandom(seed).fork("model");
  Math.random = () => random.float();
  try {
    return run();
  } finally {
    Math.random = original;
  }
}

function requireShape(
  symbol: tf.SymbolicTensor,
  expected: readonly number[],
  what: string,
  invalid: (expected: string, got: string, remedy: string) => never,
): void {
  const got = symbol.shape.slice(1);
  if (got.length !== expected.length || got.some((extent, axis) => extent !== expected[axis])) {
    invalid(
      `${what} shape [${expected.join()}] as in the dataset`,
      `[${got.map((extent) => extent ?? "any").join()}]`,
      "use the `inputShape` and `outputSize` that the builder is given",
    );
  }
  if (symbol.dtype !== "float32") {
    invalid(`a float32 ${what}`, symbol.dtype, "other types are not supported");
  }
}

function describe(value: unknown): string {
  if (value instanceof Promise) return "a promise";
  if (typeof value !== "object" || value === null) return String(value);
  return `an object of class ${value.constructor.name}`;
}

function remedyFor(value: unknown): string | undefined {
  if (value instanceof Promise) return "return the model itself, not a promise";
  if (typeof value === "object" && value !== null && "trainableWeights" in value) {
    return "it comes from another copy of TensorFlow.js: use the `tf` that the builder is given";
  }
  return undefined;
}

import type * as tf from "@tensorflow/tfjs";
import { isPsgdError, PsgdError, type Plan, type TensorLayout } from "@psgd/core";
import { loadTensorFlow, type TensorFlow } from "../tensorflow.js";
import { layersOf } from "./layers-of.js";
import { trace } from "./trace.js";
import type { TracedVariable, Tracing } from "./trace-request.js";
import { variableOf } from "./variable-of.js";

/** What a model is trained for. */
export type LossName = "softmaxCrossEntropy" | "meanSquaredError";

export interface TraceModelOptions {
  /** Samples of one training step. */
  readonly batchSize: number;
  /** Samples of one evaluation step. */
  readonly evaluationBatchSize: number;
  readonly loss: LossName;
}

/** A model as plans: all that nodes need to train and evaluate it, without TensorFlow.js. */
export interface TracedModel {
  /**
   * Inputs `x` [batchSize, …] and `y` [batchSize, outputs], one-hot for classification. Outputs `loss`, the mean over
   * the batch plus the penalties of regularizers, and for classification `accuracy`, the part of the batch whose
   * largest output is the largest of `y`. Gradients of `loss`.
   */
  readonly train: Plan;
  /**
   * Inputs `x`, `y` and `weight` [evaluationBatchSize]: 1 for each sample, 0 for the rows that fill up a smaller last
   * batch (any finite values, zeros for instance). Outputs `lossSum` and for classification `correctCount`, sums over
   * the samples without penalties: to be added over the batches, then divided by the number of samples. Layers behave
   * as in prediction. No gradients.
   */
  readonly evaluate: Plan;
  /** Input `x` [97, …], output `prediction` [97, outputs]: what the model gives. Layers behave as in prediction. */
  readonly predict: Plan;
  readonly layout: TensorLayout;
  /** Flat as in `layout`. */
  readonly initialWeights: Float32Array;
  /**
   * What is not trained: frozen weights and moving averages, flat as in `train.state.layout`, which is that of
   * `evaluate` too.
   */
  readonly initialState: Float32Array;
  /** The model in the JSON of TensorFlow.js's layers format, without weights. */
  readonly topology: Readonly<Record<string, unknown>>;
}

/**
 * Traces the training and the evaluation step of a model.
 *
 * @throws {PsgdError} MODEL_INVALID if the model cannot be trained here; PLAN_INVALID if it uses what plans cannot hold
 */
export function traceModel(model: tf.LayersModel, options: TraceModelOptions): TracedModel {
  requireSize(options.batchSize, "batchSize");
  requireSize(options.evaluationBatchSize, "evaluationBatchSize");
  const tensorflow = loadTensorFlow();
  const parameters = trainedWeights(model);
  if (parameters.length === 0)
    invalid(model, "weights to train, got none", "do not freeze all layers");
  const state = model.nonTrainableWeights.map(tracedVariable);
  const inputShape = extents(model.inputs[0]!.shape);
  const outputShape = extents(model.outputs[0]!.shape);
  const layers = layersOf(model);
  const loss = lossNamed(options.loss);

  const batch = (size: number): { name: string; shape: number[]; dtype: "float32" }[] => [
    { name: "x", shape: [size, ...inputShape], dtype: "float32" },
    { name: "y", shape: [size, ...outputShape], dtype: "float32" },
  ];
  const train = traceStep(model, () =>
    trace({
      name: `${model.name}/train`,
      inputs: batch(options.batchSize),
      parameters,
      state,
      layers,
      step: ({ x, y }, tracing) => {
        const metrics: Record<string, tf.Tensor> = {};
        const { value, grads } = tensorflow.variableGrads(
          () => {
            const prediction = model.apply(x!, { training: true }) as tf.Tensor;
            const { perSample, isCorrect } = loss(tensorflow, prediction, y!, tracing);
            if (isCorrect !== undefined) {
              metrics["accuracy"] = tracing.keep(isCorrect.mean());
            }
            return model
              .calculateLosses()
              .reduce<tf.Tensor>((sum, penalty) => tensorflow.add(sum, penalty), perSample.mean())
              .asScalar();
          },
          parameters.map(({ variable }) => variable),
        );
        return {
          outputs: { loss: value, ...metrics },
          gradients: parameters.map(({ variable }) => grads[variable.name] ?? null),
        };
      },
    }),
  );
  const evaluate = traceStep(model, () =>
    trace({
      name: `${model.name}/evaluate`,
      inputs: [
        ...batch(options.evaluationBatchSize),
        { name: "weight", shape: [options.evaluationBatchSize], dtype: "float32" },
      ],
      parameters,
      state,
      layers,
      step: ({ x, y, weight }, tracing) => {
        const prediction = model.apply(x!, { training: false }) as tf.Tensor;
        const { perSample, isCorrect } = loss(tensorflow, prediction, y!, tracing);
        const total = (values: tf.Tensor): tf.Tensor => values.mul(weight!).sum();
        return {
          outputs: {
            lossSum: total(perSample),
            ...(isCorrect === undefined ? {} : { correctCount: total(isCorrect) }),
          },
          gradients: [],
        };
      },
    }),
  );
  const predict = traceStep(model, () =>
    trace({
      name: `${model.name}/predict`,
      inputs: batch(PREDICTION_BATCH_SIZE).slice(0, 1),
      parameters,
      state,
      layers,
      step: ({ x }) => ({
        outputs: { prediction: model.apply(x!, { training: false }) as tf.Tensor },
        gradients: [],
      }),
    }),
  );
  return {
    train,
    evaluate,
    predict,
    layout: train.layout,
    initialWeights: flatWeights(parameters, train.layout),
    initialState: flatWeights(state, train.state.layout),
    topology: model.toJSON(undefined, false) as Record<string, unknown>,
  };
}

/** A prime that hardly any other extent is a multiple of: an export opens the batch where it finds it. */
const PREDICTION_BATCH_SIZE = 97;

interface SampleLosses {
  /** [batch] */
  readonly perSample: tf.Tensor;
  /** [batch], 1 or 0 */
  readonly isCorrect?: tf.Tensor;
}

type Loss = (
  tensorflow: TensorFlow,
  prediction: tf.Tensor,
  y: tf.Tensor,
  tracing: Tracing,
) => SampleLosses;

const LOSSES: Readonly<Record<LossName, Loss>> = {
  // From the logits also where the model ends in a softmax: the logarithm of a probability that underflowed is lost.
  softmaxCrossEntropy: (tensorflow, prediction, y, tracing) => {
    const logits = tracing.logitsOf(prediction);
    return {
      perSample: tensorflow.losses.softmaxCrossEntropy(
        y,
        logits,
        undefined,
        undefined,
        tensorflow.Reduction.NONE,
      ),
      isCorrect: tensorflow.equal(logits.argMax(-1), y.argMax(-1)).toFloat(),
    };
  },
  meanSquaredError: (tensorflow, prediction, y) => ({
    perSample: tensorflow.squaredDifference(prediction, y).mean(-1),
  }),
};

/** Says what TensorFlow.js itself found wrong with the model as an error of ours. */
function traceStep(model: tf.LayersModel, run: () => Plan): Plan {
  try {
    return run();
  } catch (error) {
    if (isPsgdError(error)) throw error;
    throw new PsgdError(
      "MODEL_INVALID",
      `model \`${model.name}\`: expected a training step that TensorFlow.js can differentiate, ` +
        `got "${error instanceof Error ? error.message : String(error)}"`,
      { cause: error },
    );
  }
}

function trainedWeights(model: tf.LayersModel): TracedVariable[] {
  return model.trainableWeights.map((weight) => {
    const { constraint } = weight as { constraint?: unknown };
    if (constraint !== undefined && constraint !== null) {
      invalid(
        model,
        `weights without constraint, got one on \`${weight.originalName}\``,
        "constraints are applied by TensorFlow.js's optimizers, which do not run here",
      );
    }
    return tracedVariable(weight);
  });
}

function tracedVariable(weight: tf.LayersModel["weights"][number]): TracedVariable {
  return { name: weight.originalName, variable: variableOf(weight) };
}

function flatWeights(parameters: readonly TracedVariable[], layout: TensorLayout): Float32Array {
  const flat = new Float32Array(layout.size);
  parameters.forEach(({ variable }, index) => {
    flat.set(variable.dataSync(), layout.tensors[index]!.offset);
  });
  return flat;
}

function extents(shape: readonly (number | null)[]): number[] {
  return shape.slice(1).map((extent) => extent!);
}

function lossNamed(name: string): Loss {
  if (!Object.hasOwn(LOSSES, name)) {
    const known = Object.keys(LOSSES).join(", ");
    throw new PsgdError("SETTINGS_INVALID", `loss: expected one of ${known}, got \`${name}\``);
  }
  return LOSSES[name as LossName];
}

function requireSize(size: number, what: string): void {
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new PsgdError("SETTINGS_INVALID", `${what}: expected a whole number from 1, got ${size}`);
  }
}

function invalid(model: tf.LayersModel, text: string, remedy: string): never {
  throw new PsgdError("MODEL_INVALID", `model \`${model.name}\`: expected ${text}; ${remedy}`);
}

import type * as tf from "@tensorflow/tfjs";
import { PsgdError, type PlanValue } from "@psgd/core";
import { layersOf } from "./layers-of.js";
import { variableOf } from "./variable-of.js";
import { traceStep, type TracedStep } from "./trace.js";

/**
 * Traces the whole training step of a compiled model: forward, loss, metrics, backward and the update of its optimizer.
 * The plan has no parameters; weights, moving averages and the optimizer's moments are its state. Inputs are named as
 * the model's input and output layers are, with `/x` and `/y` behind; outputs are `loss` and the metrics.
 *
 * A learning rate is a number in the plan, as it was when the model was compiled.
 *
 * @throws {PsgdError} MODEL_INVALID if the model is not compiled; PLAN_INVALID if it uses what plans cannot hold
 */
export function traceTrainFunction(
  model: tf.LayersModel,
  { batchSize }: { readonly batchSize: number },
): TracedStep {
  // The optimizer is typed as if it were always there.
  if ((model.optimizer as tf.Optimizer | undefined) === undefined) {
    throw new PsgdError(
      "MODEL_INVALID",
      `model \`${model.name}\`: expected a compiled model, got one without optimizer; call model.compile first`,
    );
  }
  // A sequential model hands everything to the model within it.
  const { model: inner = model } = model as unknown as { model?: tf.LayersModel };
  const { feedLossFns } = inner as unknown as Trainable;
  const value = (name: string, shape: tf.Shape): PlanValue & { name: string } => ({
    name,
    shape: shape.map((extent) => extent ?? batchSize),
    dtype: "float32",
  });
  const inputs = [
    ...inner.inputs.map(({ shape }, index) => value(`${inner.inputNames[index]!}/x`, shape)),
    ...inner.outputs.map(({ shape }, index) => {
      // Labels are class numbers then, not one-hot rows.
      const isSparse = /^sparse/.test(feedLossFns[index]!.name);
      const labels = isSparse ? [...shape.slice(0, -1), 1] : shape;
      return value(`${inner.outputNames[index]!}/y`, labels);
    }),
  ];
  const train = (inner as unknown as Trainable).makeTrainFunction();
  return traceStep({
    name: `${model.name}/fit`,
    inputs,
    parameters: [],
    state: model.weights.map((weight) => ({
      name: weight.originalName,
      variable: variableOf(weight),
    })),
    findsState: true,
    layers: layersOf(model),
    step: (given) => {
      const results = train(inputs.map(({ name }) => given[name]!));
      const names = ["loss", ...model.metricsNames.slice(1)];
      return {
        outputs: Object.fromEntries(results.map((tensor, index) => [names[index]!, tensor])),
        gradients: [],
      };
    },
  });
}

/** What `model.fit` calls for each batch; protected in the types. */
interface Trainable {
  readonly feedLossFns: readonly { readonly name: string }[];
  makeTrainFunction(): (data: tf.Tensor[]) => tf.Tensor[];
}

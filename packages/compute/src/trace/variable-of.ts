import type * as tf from "@tensorflow/tfjs";
import { loadTensorFlow } from "../tensorflow.js";

/** The variable behind a weight of a layer. */
export function variableOf(weight: tf.LayersModel["weights"][number]): tf.Variable {
  const variable = weight.read();
  if (!isVariable(variable)) {
    throw new Error(`bug: weight ${weight.originalName} is not a variable`);
  }
  return variable;
}

function isVariable(tensor: tf.Tensor): tensor is tf.Variable {
  return tensor instanceof loadTensorFlow().Variable;
}

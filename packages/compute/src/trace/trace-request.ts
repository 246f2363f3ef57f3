import type * as tf from "@tensorflow/tfjs";
import type { PlanValue } from "@psgd/core";

/** A variable and its name in the plan. */
export interface TracedVariable {
  readonly name: string;
  readonly variable: tf.Variable;
}

/** What a traced step gives back. */
export interface StepResult {
  readonly outputs: Readonly<Record<string, tf.Tensor>>;
  /** By parameter; `null` where the loss does not depend on it; empty for a plan without backward pass. */
  readonly gradients: readonly (tf.Tensor | null)[];
}

/** A step to trace: ordinary, synchronous TensorFlow.js. */
export interface TraceRequest {
  readonly name: string;
  readonly inputs: readonly (PlanValue & { readonly name: string })[];
  /** The variables that become the plan's parameters, in the order of its layout. */
  readonly parameters: readonly TracedVariable[];
  /** Variables that the step may read and assign, in the order of the state's layout. */
  readonly state?: readonly TracedVariable[];
  /** Whether other variables that the step uses or makes (an optimizer's moments) become state too; else they are refused. */
  readonly findsState?: boolean;
  /** Layers to name in messages. */
  readonly layers?: readonly tf.layers.Layer[];
  readonly step: (inputs: Readonly<Record<string, tf.Tensor>>, tracing: Tracing) => StepResult;
}

/** What a step may ask about itself while it is traced. */
export interface Tracing {
  /** The logits, if `tensor` is a softmax of them; else `tensor`. */
  logitsOf(tensor: tf.Tensor): tf.Tensor;
  /** Keeps a tensor beyond the scope that made it, until the trace ends. */
  keep<T extends tf.Tensor>(tensor: T): T;
}

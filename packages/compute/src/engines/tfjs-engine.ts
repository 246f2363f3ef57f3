import type * as tf from "@tensorflow/tfjs";
import type { Engine, Executable, Plan, PlanArray, PlanNode } from "@psgd/core";
import { kernelSignature } from "../kernels/kernels.js";
import { loadTensorFlow, type TensorFlow } from "../tensorflow.js";
import { ARRAY_OF, validatePlan } from "../validate-plan.js";
import { RunCheck } from "./run-check.js";

/**
 * The reference engine: a plan's kernels dispatched one by one on TensorFlow.js's cpu backend. Slow (a hundred times
 * the onnx engine's time) and portable; the other engines are tested against it.
 */
export function tfjsEngine(): Engine {
  return {
    name: "tfjs",
    compile: async (plan) => new TfjsExecutable(validatePlan(plan), loadTensorFlow()),
  };
}

class TfjsExecutable implements Executable {
  readonly #plan: Plan;
  readonly #tensorflow: TensorFlow;
  readonly #check: RunCheck;

  constructor(plan: Plan, tensorflow: TensorFlow) {
    this.#plan = plan;
    this.#tensorflow = tensorflow;
    this.#check = new RunCheck(plan);
  }

  run(
    inputs: Readonly<Record<string, PlanArray>>,
    parameters: Float32Array,
    gradients?: Float32Array,
  ): Readonly<Record<string, PlanArray>> {
    this.#check.require(inputs, parameters, gradients);
    const previousBackend = this.#tensorflow.getBackend();
    // Setting a backend that is initialised takes effect before its promise resolves.
    void this.#tensorflow.setBackend("cpu");
    try {
      const outputs: Record<string, PlanArray> = {};
      this.#tensorflow.tidy(() => {
        const values = this.#compute(inputs, parameters);
        for (const { name, value } of this.#plan.outputs) outputs[name] = this.#read(values, value);
        this.#plan.gradients.forEach((value, index) => {
          const { offset, size } = this.#plan.layout.tensors[index]!;
          if (value === null) gradients!.fill(0, offset, offset + size);
          else gradients!.set(this.#read(values, value), offset);
        });
      });
      return outputs;
    } finally {
      void this.#tensorflow.setBackend(previousBackend);
    }
  }

  dispose(): void {
    this.#check.dispose();
  }

  #compute(
    inputs: Readonly<Record<string, PlanArray>>,
    parameters: Float32Array,
  ): readonly tf.Tensor[] {
    const plan = this.#plan;
    const values: tf.Tensor[] = [];
    const define = (id: number, data: PlanArray): void => {
      const { shape, dtype } = plan.values[id]!;
      values[id] = this.#tensorflow.tensor(data, [...shape], dtype);
    };
    for (const { name, value } of plan.inputs) define(value, inputs[name]!);
    plan.parameters.forEach((id, index) => {
      const { offset, size } = plan.layout.tensors[index]!;
      define(id, parameters.subarray(offset, offset + size));
    });
    for (const { value, data } of plan.constants) define(value, data);
    for (const node of plan.nodes) this.#dispatch(node, values);
    return values;
  }

  #dispatch({ kernel, inputs, outputs, attributes }: PlanNode, values: tf.Tensor[]): void {
    const names = kernelSignature(kernel)!.inputs;
    const tensors = inputs.map((id) => (id === null ? undefined : values[id]));
    const given =
      names === "list"
        ? tensors
        : Object.fromEntries(names.map((name, index) => [name.replace("?", ""), tensors[index]]));
    const results = this.#tensorflow
      .engine()
      .runKernel(kernel, given as tf.NamedTensorMap, attributes as unknown as tf.NamedAttrMap);
    [results].flat().forEach((result, index) => {
      values[outputs[index]!] = result;
    });
  }

  /** A cpu kernel may hold another array than the type says, so the values are converted. */
  #read(values: readonly tf.Tensor[], id: number): PlanArray {
    return ARRAY_OF[this.#plan.values[id]!.dtype].from(values[id]!.dataSync());
  }
}

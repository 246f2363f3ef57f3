import type * as tf from "@tensorflow/tfjs";
import {
  PsgdError,
  type Engine,
  type Executable,
  type Plan,
  type PlanArray,
  type PlanBody,
  type PlanNode,
  type RunContext,
  type TensorLayout,
} from "@psgd/core";
import { elementCount } from "../kernels/kernel-call.js";
import { kernelSignature } from "../kernels/kernels.js";
import { loadTensorFlow, type TensorFlow } from "../tensorflow.js";
import { ARRAY_OF, validatePlan } from "../validate-plan.js";
import { loop } from "../trace/control-flow.js";
import { fillNoise } from "./noise.js";
import { RunCheck } from "./run-check.js";

/**
 * The reference engine: a plan's kernels dispatched one by one on TensorFlow.js's cpu backend. Slow (a hundred times
 * the onnx engine's time) and portable; the other engines are tested against it.
 */
export function tfjsEngine(): Engine {
  return {
    name: "tfjs",
    compile: async (plan) => new TfjsExecutable(validatePlan(plan), loadTensorFlow(), "cpu"),
  };
}

/** A plan run by TensorFlow.js on one of its backends, which must be there. */
export class TfjsExecutable implements Executable {
  readonly #plan: Plan;
  readonly #tensorflow: TensorFlow;
  readonly #backend: string;
  readonly #check: RunCheck;

  constructor(plan: Plan, tensorflow: TensorFlow, backend: string) {
    this.#plan = plan;
    this.#tensorflow = tensorflow;
    this.#backend = backend;
    this.#check = new RunCheck(plan);
  }

  run(
    inputs: Readonly<Record<string, PlanArray>>,
    parameters: Float32Array,
    gradients?: Float32Array,
    context: RunContext = {},
  ): Readonly<Record<string, PlanArray>> {
    this.#check.require(inputs, parameters, gradients, context);
    const previousBackend = this.#tensorflow.getBackend();
    // Setting a backend that is initialised takes effect before its promise resolves.
    void this.#tensorflow.setBackend(this.#backend);
    try {
      const outputs: Record<string, PlanArray> = {};
      const plan = this.#plan;
      this.#tensorflow.tidy(() => {
        const values = this.#compute(inputs, parameters, context);
        for (const { name, value } of plan.outputs) outputs[name] = this.#read(values, value);
        if (gradients !== undefined) {
          this.#readFlat(values, plan.gradients, plan.layout, gradients, ZEROS);
        }
        if (context.nextState !== undefined) {
          const { next, layout } = plan.state;
          this.#readFlat(values, next, layout, context.nextState, context.state!);
        }
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
    context: RunContext,
  ): readonly tf.Tensor[] {
    const plan = this.#plan;
    const values: tf.Tensor[] = [];
    const define = (id: number, data: PlanArray): void => {
      const { shape, dtype } = plan.values[id]!;
      values[id] = this.#tensorflow.tensor(data, [...shape], dtype);
    };
    const defineFlat = (
      ids: readonly number[],
      { tensors }: TensorLayout,
      flat: Float32Array,
    ): void => {
      ids.forEach((id, index) => {
        const { offset, size } = tensors[index]!;
        define(id, flat.subarray(offset, offset + size));
      });
    };
    for (const { name, value } of plan.inputs) define(value, inputs[name]!);
    defineFlat(plan.parameters, plan.layout, parameters);
    defineFlat(plan.state.values, plan.state.layout, context.state ?? ZEROS);
    plan.noise.forEach((noise, index) => {
      const data = new Float32Array(elementCount(plan.values[noise.value]!.shape));
      const key = { seed: context.noiseSeed!, step: context.noiseStep!, index };
      fillNoise(noise, key, data);
      define(noise.value, data);
    });
    this.#computeNodes(plan, values);
    return values;
  }

  #computeNodes(
    { values: kinds, constants, nodes }: Pick<PlanBody, "values" | "constants" | "nodes">,
    values: tf.Tensor[],
  ): void {
    for (const { value, data } of constants) {
      const { shape, dtype } = kinds[value]!;
      values[value] = this.#tensorflow.tensor(data, [...shape], dtype);
    }
    for (const node of nodes) {
      const results = this.#resultsOf(
        node,
        node.inputs.map((id) => (id === null ? undefined : values[id])),
      );
      results.forEach((result, index) => {
        values[node.outputs[index]!] = result;
      });
    }
  }

  #resultsOf(node: PlanNode, tensors: readonly (tf.Tensor | undefined)[]): readonly tf.Tensor[] {
    const { kernel, attributes, bodies = [] } = node;
    if (kernel === "If") {
      const [condition, ...operands] = tensors as tf.Tensor[];
      return this.#runBody(condition!.dataSync()[0] ? bodies[0]! : bodies[1]!, operands);
    }
    if (kernel === "Loop") return this.#runLoop(node, tensors as tf.Tensor[]);
    const names = kernelSignature(kernel)!.inputs;
    const given =
      names === "list"
        ? tensors
        : Object.fromEntries(names.map((name, index) => [name.replace("?", ""), tensors[index]]));
    try {
      const results = this.#tensorflow
        .engine()
        .runKernel(kernel, given as tf.NamedTensorMap, attributes as unknown as tf.NamedAttrMap);
      return [results].flat();
    } catch (cause) {
      throw new PsgdError(
        "PLAN_INVALID",
        `plan \`${this.#plan.name}\`: expected kernel ${kernel} to run on TensorFlow.js's ${this.#backend} backend, got "${String(cause).replaceAll(/\s+/g, " ")}"; use the onnx engine`,
        { cause },
      );
    }
  }

  #runBody(body: PlanBody, inputs: readonly tf.Tensor[]): tf.Tensor[] {
    const values: tf.Tensor[] = [];
    body.inputs.forEach((id, index) => {
      values[id] = inputs[index]!;
    });
    this.#computeNodes(body, values);
    return body.outputs.map((id) => values[id]!);
  }

  #runLoop({ attributes, bodies }: PlanNode, inputs: readonly tf.Tensor[]): tf.Tensor[] {
    const carriedCount = attributes["carried"] as number;
    const sequenceEnd = carriedCount + (attributes["sequences"] as number);
    const rest = inputs.slice(sequenceEnd);
    const { carried, stacked } = loop({
      times: attributes["times"] as number,
      isReversed: attributes["isReversed"] === true,
      carried: inputs.slice(0, carriedCount),
      sequences: inputs.slice(carriedCount, sequenceEnd),
      body: (before, slices) => {
        const results = this.#runBody(bodies![0]!, [...before, ...slices, ...rest]);
        return { carried: results.slice(0, carriedCount), stacked: results.slice(carriedCount) };
      },
    });
    return [...carried, ...stacked];
  }

  /** Tensors into a flat vector; where there is none, what `otherwise` has there, or zeros. */
  #readFlat(
    values: readonly tf.Tensor[],
    ids: readonly (number | null)[],
    { tensors }: TensorLayout,
    flat: Float32Array,
    otherwise: Float32Array,
  ): void {
    ids.forEach((id, index) => {
      const { offset, size } = tensors[index]!;
      if (id !== null) flat.set(this.#read(values, id), offset);
      else if (otherwise === ZEROS) flat.fill(0, offset, offset + size);
      else flat.set(otherwise.subarray(offset, offset + size), offset);
    });
  }

  /** A cpu kernel may hold another array than the type says, so the values are converted. */
  #read(values: readonly tf.Tensor[], id: number): PlanArray {
    return ARRAY_OF[this.#plan.values[id]!.dtype].from(values[id]!.dataSync());
  }
}

const ZEROS = new Float32Array(0);

import {
  PsgdError,
  type Executable,
  type Plan,
  type PlanArray,
  type PlanDType,
  type RunContext,
  type TensorLayout,
} from "@psgd/core";
import { elementCount } from "../../kernels/kernel-call.js";
import { ARRAY_OF, validatePlan } from "../../validate-plan.js";
import { fillNoise } from "../noise.js";
import { RunCheck } from "../run-check.js";
import { lowerPlan, type LoweredPlan } from "./lower-plan.js";
import type { OnnxSession, OnnxTensor, OpenSession } from "./onnx-session.js";

/**
 * Makes a plan ready to run on an ONNX runtime.
 * @throws {PsgdError} PLAN_INVALID
 */
export function compileOnnx(candidate: Plan, openSession: OpenSession): Executable {
  const plan = validatePlan(candidate);
  return new OnnxExecutable(plan, lowerPlan(plan), openSession);
}

function runtimeError(plan: Plan, expected: string, error: unknown): PsgdError {
  const message = error instanceof Error ? error.message : String(error);
  return new PsgdError(
    "PLAN_INVALID",
    `plan \`${plan.name}\`: expected ${expected}, got "${message}"`,
    { cause: error },
  );
}

/** A part of a flat vector that the binding reads or writes as one tensor. */
interface View {
  readonly tensor: OnnxTensor;
  readonly offset: number;
  readonly end: number;
}

/**
 * One session with its feeds and fetches, which are made once and pointed at new memory at each run: a steady step
 * makes nothing but the views of a vector it has not seen in the run before.
 */
class OnnxExecutable implements Executable {
  readonly #plan: Plan;
  readonly #check: RunCheck;
  readonly #session: OnnxSession;
  readonly #feeds: Record<string, OnnxTensor> = {};
  readonly #fetches: Record<string, OnnxTensor> = {};
  readonly #inputs: readonly { readonly name: string; readonly tensor: OnnxTensor }[];
  readonly #parameterViews: readonly View[];
  readonly #gradientViews: readonly View[];
  /** Where gradients are always zero. */
  readonly #zeroRanges: readonly { readonly offset: number; readonly end: number }[];
  readonly #stateViews: readonly View[];
  readonly #nextStateViews: readonly View[];
  /** State that a run does not change. */
  readonly #lastingRanges: readonly { readonly offset: number; readonly end: number }[];
  /** Where next states go that the caller does not want. */
  readonly #unwantedState: Float32Array;
  readonly #noise: readonly Float32Array[];
  readonly #outputs: Record<string, PlanArray> = {};
  #parameters: Float32Array | undefined;
  #gradients: Float32Array | undefined;

  constructor(plan: Plan, lowered: LoweredPlan, openSession: OpenSession) {
    this.#plan = plan;
    this.#check = new RunCheck(plan);
    this.#inputs = plan.inputs.map(({ name, value }, index) => {
      const tensor = this.#tensor(value);
      this.#feeds[lowered.inputs[index]!] = tensor;
      return { name, tensor };
    });
    this.#parameterViews = this.#feedViews(plan.parameters, plan.layout, lowered.parameters);
    this.#stateViews = this.#feedViews(plan.state.values, plan.state.layout, lowered.state);
    this.#noise = plan.noise.map(({ value }, index) => {
      const data = new Float32Array(elementCount(plan.values[value]!.shape));
      this.#feeds[lowered.noise[index]!] = { ...this.#tensor(value), data };
      return data;
    });
    plan.outputs.forEach(({ name, value }, index) => {
      const tensor = this.#tensor(value);
      const { shape, dtype } = plan.values[value]!;
      tensor.data = new ARRAY_OF[dtype](elementCount(shape));
      this.#fetches[lowered.outputs[index]!] = tensor;
      this.#outputs[name] = tensor.data;
    });
    this.#gradientViews = this.#fetchViews(plan.gradients, plan.layout, lowered.gradients);
    this.#zeroRanges = rangesWithout(plan.gradients, plan.layout);
    const { next, layout } = plan.state;
    this.#nextStateViews = this.#fetchViews(next, layout, lowered.nextState);
    this.#lastingRanges = rangesWithout(next, layout);
    this.#unwantedState = new Float32Array(this.#nextStateViews.length === 0 ? 0 : layout.size);
    point(this.#nextStateViews, this.#unwantedState);
    try {
      this.#session = openSession(lowered.model, this.#feeds, this.#fetches);
    } catch (error) {
      if (error instanceof PsgdError) throw error;
      throw runtimeError(plan, "a plan that onnxruntime accepts", error);
    }
  }

  run(
    inputs: Readonly<Record<string, PlanArray>>,
    parameters: Float32Array,
    gradients?: Float32Array,
    context: RunContext = NO_CONTEXT,
  ): Readonly<Record<string, PlanArray>> {
    this.#check.require(inputs, parameters, gradients, context);
    for (const { name, tensor } of this.#inputs) tensor.data = inputs[name]!;
    if (parameters !== this.#parameters) {
      point(this.#parameterViews, parameters);
      this.#parameters = parameters;
    }
    if (gradients !== undefined && gradients !== this.#gradients) {
      point(this.#gradientViews, gradients);
      this.#gradients = gradients;
    }
    const { state, nextState } = context;
    if (state !== undefined) point(this.#stateViews, state);
    point(this.#nextStateViews, nextState ?? this.#unwantedState);
    for (let index = 0; index < this.#noise.length; index++) {
      const key = { seed: context.noiseSeed!, step: context.noiseStep!, index };
      fillNoise(this.#plan.noise[index]!, key, this.#noise[index]!);
    }
    try {
      this.#session.run();
    } catch (error) {
      throw runtimeError(this.#plan, "a run without error", error);
    }
    for (const { offset, end } of this.#zeroRanges) gradients?.fill(0, offset, end);
    for (const { offset, end } of this.#lastingRanges) {
      nextState?.set(state!.subarray(offset, end), offset);
    }
    return this.#outputs;
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#check.dispose();
    this.#session.dispose();
    const nothing = new Float32Array(0);
    for (const { tensor } of [
      ...this.#inputs,
      ...this.#parameterViews,
      ...this.#gradientViews,
      ...this.#stateViews,
      ...this.#nextStateViews,
    ]) {
      tensor.data = nothing;
    }
    this.#parameters = undefined;
    this.#gradients = undefined;
  }

  #isDisposed = false;

  #feedViews(
    ids: readonly number[],
    { tensors }: TensorLayout,
    names: readonly string[],
  ): readonly View[] {
    return ids.map((id, index) => {
      const tensor = this.#tensor(id);
      this.#feeds[names[index]!] = tensor;
      return viewOf(tensors[index]!, tensor);
    });
  }

  #fetchViews(
    ids: readonly (number | null)[],
    { tensors }: TensorLayout,
    names: readonly (string | null)[],
  ): readonly View[] {
    return ids.flatMap((id, index) => {
      if (id === null) return [];
      const tensor = this.#tensor(id);
      this.#fetches[names[index]!] = tensor;
      return [viewOf(tensors[index]!, tensor)];
    });
  }

  #tensor(value: number): OnnxTensor {
    const { shape, dtype } = this.#plan.values[value]!;
    return { location: "cpu", type: dtype, dims: shape, data: EMPTY[dtype] };
  }
}

const NO_CONTEXT: RunContext = {};
const EMPTY: Readonly<Record<PlanDType, PlanArray>> = {
  float32: new Float32Array(0),
  int32: new Int32Array(0),
  bool: new Uint8Array(0),
};

/** The parts of a flat vector that no value of the plan stands for. */
function rangesWithout(
  ids: readonly (number | null)[],
  { tensors }: TensorLayout,
): readonly { readonly offset: number; readonly end: number }[] {
  return tensors
    .filter((_, index) => ids[index] === null)
    .map(({ offset, size }) => ({ offset, end: offset + size }));
}

function viewOf(
  slot: { readonly offset: number; readonly size: number },
  tensor: OnnxTensor,
): View {
  return { tensor, offset: slot.offset, end: slot.offset + slot.size };
}

function point(views: readonly View[], vector: Float32Array): void {
  for (const { tensor, offset, end } of views) tensor.data = vector.subarray(offset, end);
}

import {
  PsgdError,
  type Engine,
  type Executable,
  type Plan,
  type PlanArray,
  type PlanDType,
} from "@psgd/core";
import { elementCount } from "../../kernels/kernel-call.js";
import { ARRAY_OF, validatePlan } from "../../validate-plan.js";
import { RunCheck } from "../run-check.js";
import { lowerPlan, type LoweredPlan } from "./lower-plan.js";
import { openSession, type NativeSession, type NativeTensor } from "./native-session.js";

/**
 * The default engine: plans lowered to ONNX and run by onnxruntime on the CPU, synchronously. Results repeat bit for
 * bit for equal `threads` on one machine; between machines they differ by rounding.
 *
 * @param options.threads - threads within one run; more than one pays off from about a million weights
 */
export function onnxEngine({ threads = 1 }: { readonly threads?: number } = {}): Engine {
  if (!Number.isSafeInteger(threads) || threads < 1) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `threads: expected a whole number from 1, got ${threads}`,
    );
  }
  return {
    name: "onnx",
    compile: async (candidate) => {
      const plan = validatePlan(candidate);
      const lowered = lowerPlan(plan);
      return new OnnxExecutable(plan, lowered, open(plan, lowered, threads));
    },
  };
}

function open(plan: Plan, { model }: LoweredPlan, threads: number): NativeSession {
  try {
    return openSession(model, threads);
  } catch (error) {
    if (error instanceof PsgdError) throw error;
    throw nativeError(plan, "a plan that onnxruntime accepts", error);
  }
}

function nativeError(plan: Plan, expected: string, error: unknown): PsgdError {
  const message = error instanceof Error ? error.message : String(error);
  return new PsgdError(
    "PLAN_INVALID",
    `plan \`${plan.name}\`: expected ${expected}, got "${message}"`,
    { cause: error },
  );
}

/** A part of a flat vector that the binding reads or writes as one tensor. */
interface View {
  readonly tensor: NativeTensor;
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
  readonly #session: NativeSession;
  readonly #feeds: Record<string, NativeTensor> = {};
  readonly #fetches: Record<string, NativeTensor> = {};
  readonly #inputs: readonly { readonly name: string; readonly tensor: NativeTensor }[];
  readonly #parameterViews: readonly View[];
  readonly #gradientViews: readonly View[];
  /** Where gradients are always zero. */
  readonly #zeroRanges: readonly { readonly offset: number; readonly end: number }[];
  readonly #outputs: Record<string, PlanArray> = {};
  #parameters: Float32Array | undefined;
  #gradients: Float32Array | undefined;

  constructor(plan: Plan, lowered: LoweredPlan, session: NativeSession) {
    this.#plan = plan;
    this.#check = new RunCheck(plan);
    this.#session = session;
    const { tensors } = plan.layout;
    this.#inputs = plan.inputs.map(({ name, value }, index) => {
      const tensor = this.#tensor(value);
      this.#feeds[lowered.inputs[index]!] = tensor;
      return { name, tensor };
    });
    this.#parameterViews = plan.parameters.map((value, index) => {
      const tensor = this.#tensor(value);
      this.#feeds[lowered.parameters[index]!] = tensor;
      return viewOf(tensors[index]!, tensor);
    });
    plan.outputs.forEach(({ name, value }, index) => {
      const tensor = this.#tensor(value);
      const { shape, dtype } = plan.values[value]!;
      tensor.data = new ARRAY_OF[dtype](elementCount(shape));
      this.#fetches[lowered.outputs[index]!] = tensor;
      this.#outputs[name] = tensor.data;
    });
    this.#gradientViews = plan.gradients.flatMap((value, index) => {
      if (value === null) return [];
      const tensor = this.#tensor(value);
      this.#fetches[lowered.gradients[index]!] = tensor;
      return [viewOf(tensors[index]!, tensor)];
    });
    this.#zeroRanges = plan.gradients.flatMap((value, index) => {
      const { offset, size } = tensors[index]!;
      return value === null ? [{ offset, end: offset + size }] : [];
    });
  }

  run(
    inputs: Readonly<Record<string, PlanArray>>,
    parameters: Float32Array,
    gradients?: Float32Array,
  ): Readonly<Record<string, PlanArray>> {
    this.#check.require(inputs, parameters, gradients);
    for (const { name, tensor } of this.#inputs) tensor.data = inputs[name]!;
    if (parameters !== this.#parameters) {
      point(this.#parameterViews, parameters);
      this.#parameters = parameters;
    }
    if (gradients !== undefined && gradients !== this.#gradients) {
      point(this.#gradientViews, gradients);
      this.#gradients = gradients;
    }
    try {
      this.#session.run(this.#feeds, this.#fetches, NO_OPTIONS);
    } catch (error) {
      throw nativeError(this.#plan, "a run without error", error);
    }
    for (const { offset, end } of this.#zeroRanges) gradients?.fill(0, offset, end);
    return this.#outputs;
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#check.dispose();
    this.#session.dispose();
    const nothing = new Float32Array(0);
    for (const { tensor } of [...this.#inputs, ...this.#parameterViews, ...this.#gradientViews]) {
      tensor.data = nothing;
    }
    this.#parameters = undefined;
    this.#gradients = undefined;
  }

  #isDisposed = false;

  #tensor(value: number): NativeTensor {
    const { shape, dtype } = this.#plan.values[value]!;
    return { location: "cpu", type: dtype, dims: shape, data: EMPTY[dtype] };
  }
}

const NO_OPTIONS = {};
const EMPTY: Readonly<Record<PlanDType, PlanArray>> = {
  float32: new Float32Array(0),
  int32: new Int32Array(0),
  bool: new Uint8Array(0),
};

function viewOf(
  slot: { readonly offset: number; readonly size: number },
  tensor: NativeTensor,
): View {
  return { tensor, offset: slot.offset, end: slot.offset + slot.size };
}

function point(views: readonly View[], vector: Float32Array): void {
  for (const { tensor, offset, end } of views) tensor.data = vector.subarray(offset, end);
}

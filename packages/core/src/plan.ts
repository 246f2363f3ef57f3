import type { TensorLayout } from "./layout.js";

export type PlanDType = "float32" | "int32" | "bool";

/** Static shape and type of one value of a plan; its id is its place in `Plan.values`. */
export interface PlanValue {
  readonly shape: readonly number[];
  readonly dtype: PlanDType;
}

export type PlanAttribute =
  | null
  | boolean
  | number
  | string
  | readonly PlanAttribute[]
  | { readonly [name: string]: PlanAttribute };

/** One kernel call. `null` among the inputs is an optional input that is absent. */
export interface PlanNode {
  /** TensorFlow.js kernel name, one of a white list. */
  readonly kernel: string;
  readonly inputs: readonly (number | null)[];
  readonly attributes: Readonly<Record<string, PlanAttribute>>;
  readonly outputs: readonly number[];
  /** What `If` (then, else) and `Loop` run; absent on all other kernels. */
  readonly bodies?: readonly PlanBody[];
}

/** The tensors of a graph that do not change. */
export interface PlanConstant {
  readonly value: number;
  readonly data: PlanArray;
}

/** A graph within a node, with values of its own: what it takes from outside is among its inputs. */
export interface PlanBody {
  readonly values: readonly PlanValue[];
  readonly inputs: readonly number[];
  readonly constants: readonly PlanConstant[];
  readonly nodes: readonly PlanNode[];
  readonly outputs: readonly number[];
}

/** A value that is drawn anew at each run: `offset + scale · z`, z from the standard form of the distribution. */
export interface PlanNoise {
  readonly value: number;
  /** Uniform over [0, 1); normal with mean 0 and deviation 1; the same drawn again while beyond 2. */
  readonly distribution: "uniform" | "normal" | "truncatedNormal";
  readonly offset: number;
  readonly scale: number;
}

/** What a step carries on by itself: frozen weights, moving averages, an optimizer's moments. */
export interface PlanState {
  readonly layout: TensorLayout;
  /** By tensor of `layout`: the value that stands for it. */
  readonly values: readonly number[];
  /** By tensor of `layout`: the value it has after a run (null: it stays). */
  readonly next: readonly (number | null)[];
}

/**
 * A computation as data: a static graph of TensorFlow.js kernels with named inputs, parameters and outputs, in an
 * order in which it can run. It is what the submitter traces once and workers lower to their own engine.
 */
export interface Plan {
  readonly format: "psgd-plan";
  readonly version: 2;
  readonly name: string;
  readonly values: readonly PlanValue[];
  /** Fed at every run. */
  readonly inputs: readonly { readonly name: string; readonly value: number }[];
  /** The trainable parameters in one flat vector. */
  readonly layout: TensorLayout;
  /** By tensor of `layout`: the value that stands for it. */
  readonly parameters: readonly number[];
  readonly state: PlanState;
  readonly noise: readonly PlanNoise[];
  readonly constants: readonly PlanConstant[];
  readonly nodes: readonly PlanNode[];
  readonly outputs: readonly { readonly name: string; readonly value: number }[];
  /** By tensor of `layout`: the value of its gradient (null: it is always zero); empty in a plan without backward pass. */
  readonly gradients: readonly (number | null)[];
}

export type PlanArray = Float32Array | Int32Array | Uint8Array;

/** What a run needs beside inputs and parameters, where its plan has state or noise. */
export interface RunContext {
  /** Flat, `plan.state.layout.size` values; read only. */
  readonly state?: Float32Array;
  /** Where the state after the run goes: other memory than `state`; left out where nobody wants it. */
  readonly nextState?: Float32Array;
  /** The same pair draws the same noise, on every engine. */
  readonly noiseSeed?: number;
  readonly noiseStep?: number;
}

/** A plan made ready to run on this machine. Not re-entrant. */
export interface Executable {
  /**
   * Runs the plan once.
   *
   * @param inputs - by name, row-major, of the plan's shapes
   * @param parameters - flat, `layout.size` values; read only
   * @param gradients - where the gradients go: flat, `layout.size` values, not the same memory as `parameters`;
   *   required if the plan has gradients
   * @param context - required if the plan has state or noise
   * @returns the outputs by name; valid until the next run
   * @throws {PsgdError} SHAPE_MISMATCH, PLAN_INVALID
   */
  run(
    inputs: Readonly<Record<string, PlanArray>>,
    parameters: Float32Array,
    gradients?: Float32Array,
    context?: RunContext,
  ): Readonly<Record<string, PlanArray>>;
  /** Releases native memory; idempotent. */
  dispose(): void;
}

/** Runs plans. */
export interface Engine {
  readonly name: string;
  /**
   * Makes a plan ready to run.
   * @throws {PsgdError} PLAN_INVALID if the plan is malformed or uses a kernel this engine does not have;
   *   BACKEND_UNAVAILABLE if the engine cannot run here
   */
  compile(plan: Plan): Promise<Executable>;
}

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
}

/**
 * A computation as data: a static graph of TensorFlow.js kernels with named inputs, parameters and outputs, in an
 * order in which it can run. It is what the submitter traces once and workers lower to their own engine.
 */
export interface Plan {
  readonly format: "psgd-plan";
  readonly version: 1;
  readonly name: string;
  readonly values: readonly PlanValue[];
  /** Fed at every run. */
  readonly inputs: readonly { readonly name: string; readonly value: number }[];
  /** The trainable parameters in one flat vector. */
  readonly layout: TensorLayout;
  /** By tensor of `layout`: the value that stands for it. */
  readonly parameters: readonly number[];
  readonly constants: readonly {
    readonly value: number;
    readonly data: Float32Array | Int32Array | Uint8Array;
  }[];
  readonly nodes: readonly PlanNode[];
  readonly outputs: readonly { readonly name: string; readonly value: number }[];
  /** By tensor of `layout`: the value of its gradient (null: it is always zero); empty in a plan without backward pass. */
  readonly gradients: readonly (number | null)[];
}

export type PlanArray = Float32Array | Int32Array | Uint8Array;

/** A plan made ready to run on this machine. Not re-entrant. */
export interface Executable {
  /**
   * Runs the plan once.
   *
   * @param inputs - by name, row-major, of the plan's shapes
   * @param parameters - flat, `layout.size` values; read only
   * @param gradients - where the gradients go: flat, `layout.size` values, not the same memory as `parameters`;
   *   required if the plan has gradients
   * @returns the outputs by name; valid until the next run
   * @throws {PsgdError} SHAPE_MISMATCH, PLAN_INVALID
   */
  run(
    inputs: Readonly<Record<string, PlanArray>>,
    parameters: Float32Array,
    gradients?: Float32Array,
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

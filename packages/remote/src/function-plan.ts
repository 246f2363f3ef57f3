import { createHash } from "node:crypto";
import {
  loadTensorFlow,
  traceStep,
  type Tensor,
  type TracedStep,
  type Variable,
} from "@psgd/compute";
import { PsgdError, type Engine, type PlanValue } from "@psgd/core";
import { pack } from "@psgd/wire";
import { PointerPlan } from "./pointer-plan.js";
import type { RemoteWorker } from "./remote-worker.js";
import { describe, type TensorValue } from "./tensor-value.js";

/** The tensors that a plan carries with it. */
export interface PlanStateReader {
  read(): Variable[];
}

/** An ordinary function of TensorFlow.js: synchronous, tensors in, tensors out. The last argument is the state, if there is one. */
export type PlanFunction = (...args: never[]) => Tensor | readonly Tensor[];

export interface PlanOptions {
  /** By argument; -1 stands for an extent that is 1 in the built plan. With it, the plan is built at once. */
  readonly argsShape?: readonly (readonly number[])[];
  /** float32 tensors that travel with the plan. */
  readonly state?: readonly TensorValue[];
  readonly name?: string;
}

/**
 * Makes a plan of a function.
 *
 * @throws {PsgdError} SHAPE_MISMATCH "Invalid shape …"; PLAN_INVALID if the function uses what plans cannot hold
 */
export function plan(fn: PlanFunction, options: PlanOptions = {}): FunctionPlan {
  const made = new FunctionPlan(options.name ?? (fn.name || "plan"), fn, options.state ?? []);
  if (options.argsShape !== undefined) made.build(...options.argsShape.map(zerosLike));
  return made;
}

let planCount = 0;

/** A function that can be sent: built once, from the shapes of its arguments, then sent to as many workers as you like. */
export class FunctionPlan {
  readonly id = ++planCount;
  readonly name: string;
  readonly #fn: PlanFunction;
  readonly #state: readonly TensorValue[];
  #traced: TracedStep | undefined;

  constructor(name: string, fn: PlanFunction, state: readonly TensorValue[] = []) {
    this.name = name;
    this.#fn = fn;
    this.#state = state;
    const wrong = state.find(({ dtype }) => dtype !== "float32");
    if (wrong !== undefined) {
      throw new PsgdError(
        "SHAPE_MISMATCH",
        `state of plan \`${name}\`: expected float32 tensors, got ${describe(wrong)}`,
      );
    }
  }

  get isBuilt(): boolean {
    return this.#traced !== undefined;
  }

  /** The plan and where its state starts. @throws {PsgdError} PLAN_INVALID if it is not built */
  get traced(): TracedStep {
    if (this.#traced !== undefined) return this.#traced;
    throw new PsgdError("PLAN_INVALID", "A plan needs to be built before being sent to a worker.", {
      details: { plan: this.name },
    });
  }

  /**
   * Records the function's operations for arguments like these; only their shapes and types matter.
   * @throws {PsgdError} PLAN_INVALID
   */
  build(...args: readonly PlanValue[]): this {
    const tensorflow = loadTensorFlow();
    const variables = this.#state.map(({ data, shape }, index) =>
      tensorflow.variable(
        tensorflow.tensor(data, [...shape]),
        true,
        `plan-${this.id}/state${index}`,
      ),
    );
    const reader: PlanStateReader = { read: () => [...variables] };
    const call = (tensors: readonly Tensor[]): Tensor | readonly Tensor[] =>
      this.#fn(...([...tensors, ...(this.#state.length > 0 ? [reader] : [])] as never[]));
    try {
      this.#traced = traceStep({
        name: this.name,
        inputs: args.map(({ shape, dtype }, index) => ({ name: `x${index}`, shape, dtype })),
        parameters: [],
        state: variables.map((variable, index) => ({ name: `state${index}`, variable })),
        findsState: true,
        step: (inputs) => {
          const given = args.map((_, index) => inputs[`x${index}`]!);
          const results = [call(given)].flat<(Tensor | readonly Tensor[])[]>();
          return {
            outputs: Object.fromEntries(results.map((result, index) => [`y${index}`, result])),
            gradients: [],
          };
        },
      });
    } finally {
      tensorflow.dispose(variables);
    }
    return this;
  }

  /** Sends the plan. @returns at once a pointer to it, which can be run */
  send(worker: RemoteWorker): PointerPlan {
    const { plan: content, initialState } = this.traced;
    const id = worker.sendPlan(content, initialState);
    return new PointerPlan(worker, id, { planId: this.id, resultCount: content.outputs.length });
  }

  /** Runs the plan here. */
  async run(engine: Engine, ...args: readonly TensorValue[]): Promise<TensorValue[]> {
    const { plan: content, initialState } = this.traced;
    const executable = await engine.compile(content);
    try {
      const inputs = Object.fromEntries(args.map(({ data }, index) => [`x${index}`, data]));
      const outputs = executable.run(inputs, new Float32Array(0), undefined, {
        state: initialState,
        noiseSeed: 0,
        noiseStep: 0,
      });
      return content.outputs.map(({ name, value }) => {
        const { shape, dtype } = content.values[value]!;
        return { shape, dtype, data: outputs[name]!.slice() };
      });
    } finally {
      executable.dispose();
    }
  }

  /** Name, id and owner; once built, also arguments, results, operations and size. */
  toString(): string {
    const head = `Plan ${this.name} id:${this.id} owner:me`;
    if (this.#traced === undefined) return `<${head}>`;
    const { plan: content, initialState } = this.#traced;
    const list = (values: readonly { readonly value: number }[]): string =>
      values.map(({ value }) => describe(content.values[value]!)).join(", ");
    const bytes = pack({ plan: content, state: initialState }).length;
    const operations = content.nodes.map(({ kernel }) => kernel).join(", ");
    const digest = createHash("sha256").update(pack(content)).digest("hex").slice(0, 12);
    return (
      `<${head} (${list(content.inputs)}) -> (${list(content.outputs)}), ${bytes} bytes, sha256 ${digest}…\n` +
      `  ${content.nodes.length} operations: ${operations}>`
    );
  }
}

function zerosLike(shape: readonly number[]): PlanValue {
  const isValid = shape.every(
    (extent) => Number.isSafeInteger(extent) && extent >= -1 && extent !== 0,
  );
  if (!isValid) {
    throw new PsgdError(
      "SHAPE_MISMATCH",
      `Invalid shape [${shape.join()}]: expected extents of 1 or more, or -1 for any`,
    );
  }
  return { shape: shape.map((extent) => Math.max(1, extent)), dtype: "float32" };
}

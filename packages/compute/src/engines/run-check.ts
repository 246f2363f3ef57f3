import { PsgdError, type Plan, type PlanArray, type PlanDType, type RunContext } from "@psgd/core";
import { elementCount } from "../kernels/kernel-call.js";
import { ARRAY_OF } from "../validate-plan.js";

/** Checks what an executable is run with; made once per plan, because it runs at every step. */
export class RunCheck {
  readonly #plan: Plan;
  readonly #inputs: readonly { name: string; dtype: PlanDType; length: number }[];
  readonly #stateSize: number;
  #isDisposed = false;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#stateSize = plan.state.layout.size;
    this.#inputs = plan.inputs.map(({ name, value }) => {
      const { shape, dtype } = plan.values[value]!;
      return { name, dtype, length: elementCount(shape) };
    });
  }

  /** @throws {PsgdError} SHAPE_MISMATCH, or PLAN_INVALID after `dispose` */
  require(
    inputs: Readonly<Record<string, PlanArray>>,
    parameters: Float32Array,
    gradients: Float32Array | undefined,
    context: RunContext,
  ): void {
    if (this.#isDisposed) {
      throw new PsgdError(
        "PLAN_INVALID",
        `plan \`${this.#plan.name}\`: expected an executable in use, got one that was disposed`,
      );
    }
    let count = 0;
    for (const name in inputs) if (inputs[name] !== undefined) count++;
    for (const input of this.#inputs) {
      const data = inputs[input.name];
      if (!(data instanceof ARRAY_OF[input.dtype]) || data.length !== input.length) {
        this.#refuse(`input \`${input.name}\``, ARRAY_OF[input.dtype].name, input.length, data);
      }
      this.#requireOwnMemory(data, `input \`${input.name}\``);
      if (gradients !== undefined && overlap(data, gradients)) {
        this.#refuseOverlap(`input \`${input.name}\``);
      }
    }
    if (count !== this.#inputs.length) this.#refuseUnknownInput(inputs);
    this.#requireVector(parameters, "parameters");
    if (this.#plan.gradients.length > 0) {
      this.#requireVector(gradients, "gradients");
      if (overlap(parameters, gradients)) this.#refuseOverlap("parameters");
    }
    if (this.#stateSize > 0) this.#requireState(context);
    if (this.#plan.noise.length === 0) return;
    for (const name of ["noiseSeed", "noiseStep"] as const) {
      if (!Number.isSafeInteger(context[name])) {
        throw new PsgdError(
          "SHAPE_MISMATCH",
          `${name}: expected a whole number, got ${String(context[name])}; plan \`${this.#plan.name}\``,
        );
      }
    }
  }

  dispose(): void {
    this.#isDisposed = true;
  }

  #requireState({ state, nextState }: RunContext): void {
    this.#requireVector(state, "state", this.#stateSize);
    if (nextState === undefined) return;
    this.#requireVector(nextState, "nextState", this.#stateSize);
    if (overlap(state, nextState)) {
      throw new PsgdError(
        "SHAPE_MISMATCH",
        `nextState: expected memory of its own, got that of state; plan \`${this.#plan.name}\``,
      );
    }
  }

  #requireVector(
    vector: unknown,
    what: string,
    size = this.#plan.layout.size,
  ): asserts vector is Float32Array {
    if (!(vector instanceof Float32Array) || vector.length !== size) {
      this.#refuse(what, "Float32Array", size, vector);
    }
    this.#requireOwnMemory(vector, what);
  }

  #requireOwnMemory(data: PlanArray, what: string): void {
    if (!(data.buffer instanceof ArrayBuffer)) {
      throw new PsgdError(
        "SHAPE_MISMATCH",
        `${what}: expected unshared memory, got a SharedArrayBuffer; plan \`${this.#plan.name}\`; copy it first`,
      );
    }
  }

  #refuseOverlap(what: string): never {
    throw new PsgdError(
      "SHAPE_MISMATCH",
      `gradients: expected memory of their own, got that of ${what}; plan \`${this.#plan.name}\``,
    );
  }

  #refuse(what: string, array: string, length: number, got: unknown): never {
    const size = ArrayBuffer.isView(got) ? ` of ${(got as PlanArray).length}` : "";
    const kind = got === undefined || got === null ? "nothing" : `${got.constructor.name}${size}`;
    throw new PsgdError(
      "SHAPE_MISMATCH",
      `${what}: expected a ${array} of ${length}, got ${kind}; plan \`${this.#plan.name}\``,
    );
  }

  #refuseUnknownInput(inputs: Readonly<Record<string, PlanArray>>): never {
    const known = this.#inputs.map(({ name }) => name);
    const unknown = Object.keys(inputs).filter((name) => !known.includes(name));
    throw new PsgdError(
      "SHAPE_MISMATCH",
      `inputs: expected ${known.join(", ")}, got also ${unknown.join(", ")}; plan \`${this.#plan.name}\``,
    );
  }
}

function overlap(a: PlanArray, b: PlanArray): boolean {
  return (
    a.buffer === b.buffer &&
    a.byteOffset < b.byteOffset + b.byteLength &&
    b.byteOffset < a.byteOffset + a.byteLength
  );
}

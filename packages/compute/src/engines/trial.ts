import { PsgdError, type Executable, type Plan, type PlanArray, type PlanNoise } from "@psgd/core";
import { elementCount } from "../kernels/kernel-call.js";
import { fillNoise } from "./noise.js";
import { ARRAY_OF } from "../validate-plan.js";

const STEPS = { least: 3, most: 200, enoughMs: 50 };
/** Of the largest value of a vector: float32 in another order, and functions of a GPU, stay below. */
const TOLERANCE = 1e-3;

/** Runs of a plan on made-up values, always the same. */
export class Trial {
  readonly #plan: Plan;
  readonly #inputs: Readonly<Record<string, PlanArray>>;
  readonly #parameters: Float32Array;
  readonly #state: Float32Array;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#inputs = Object.fromEntries(
      plan.inputs.map(({ name, value }): [string, PlanArray] => {
        const { shape, dtype } = plan.values[value]!;
        const data = new ARRAY_OF[dtype](elementCount(shape));
        // Some stand for indices, also as float32, of which only 0 is always one.
        return [name, dtype === "float32" ? drawn("uniform", data.length, 1, 0) : data];
      }),
    );
    this.#parameters = drawn("truncatedNormal", plan.layout.size, 0.1, 0);
    // Far from zero: variances are state too.
    this.#state = drawn("truncatedNormal", plan.state.layout.size, 0.1, 1);
  }

  /** @returns milliseconds a run, the fastest after the first */
  measure(executable: Executable): number {
    this.#run(executable);
    const startedAt = performance.now();
    let fastestMs = Infinity;
    for (let step = 0; step < STEPS.most; step++) {
      if (step >= STEPS.least && performance.now() - startedAt > STEPS.enoughMs) break;
      const before = performance.now();
      this.#run(executable);
      fastestMs = Math.min(fastestMs, performance.now() - before);
    }
    return fastestMs;
  }

  /**
   * Holds an executable against one that is right.
   * @throws {PsgdError} PLAN_INVALID if their results differ by more than rounding
   */
  requireAgreement(engine: string, executable: Executable, reference: Executable): void {
    const got = this.#run(executable);
    for (const [name, values] of Object.entries(this.#run(reference))) {
      const expected = Float64Array.from(values);
      const largest = expected.reduce(
        (max, value) => (Number.isFinite(value) ? Math.max(max, Math.abs(value)) : max),
        0,
      );
      const isNear = (a: number, b: number): boolean =>
        Object.is(a, b) || Math.abs(a - b) <= TOLERANCE * Math.max(largest, 1e-6);
      const wrong = expected.findIndex((value, index) => !isNear(got[name]![index]!, value));
      if (wrong === -1) continue;
      throw new PsgdError(
        "PLAN_INVALID",
        `plan \`${this.#plan.name}\`: expected ${name} on the ${engine} engine to be as on the onnx engine, ` +
          `got ${got[name]![wrong]} instead of ${expected[wrong]}; use the onnx engine`,
      );
    }
  }

  /** @returns everything a run gives; outputs are valid until the executable's next */
  #run(executable: Executable): Readonly<Record<string, PlanArray>> {
    const gradients = new Float32Array(this.#plan.layout.size);
    const nextState = this.#state.slice();
    const context = { state: this.#state, nextState, noiseSeed: 1, noiseStep: 1 };
    const outputs = executable.run(this.#inputs, this.#parameters, gradients, context);
    return { ...outputs, gradients, nextState };
  }
}

function drawn(
  distribution: PlanNoise["distribution"],
  length: number,
  scale: number,
  offset: number,
): Float32Array {
  const data = new Float32Array(length);
  fillNoise({ value: 0, distribution, offset, scale }, { seed: 1, step: length, index: 0 }, data);
  return data;
}

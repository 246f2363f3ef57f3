import type { Executable, Plan, PlanArray } from "@psgd/core";
import { elementCount } from "../kernels/kernel-call.js";
import { ARRAY_OF } from "../validate-plan.js";

const STEPS = { least: 3, most: 50, enoughMs: 100 };

/** Runs a plan a few times on made-up values. @returns milliseconds a run, the fastest after the first */
export function measureStep(executable: Executable, plan: Plan): number {
  const inputs = Object.fromEntries(
    plan.inputs.map(({ name, value }): [string, PlanArray] => {
      const { shape, dtype } = plan.values[value]!;
      return [name, new ARRAY_OF[dtype](elementCount(shape))];
    }),
  );
  const parameters = new Float32Array(plan.layout.size).fill(0.01);
  const gradients = new Float32Array(plan.layout.size);
  const state = new Float32Array(plan.state.layout.size).fill(0.5);
  const context = { state, nextState: state.slice(), noiseSeed: 1, noiseStep: 1 };
  const run = (): number => {
    const before = performance.now();
    executable.run(inputs, parameters, gradients, context);
    return performance.now() - before;
  };
  run();
  const startedAt = performance.now();
  let fastestMs = Infinity;
  for (let step = 0; step < STEPS.most; step++) {
    fastestMs = Math.min(fastestMs, run());
    if (step + 1 >= STEPS.least && performance.now() - startedAt >= STEPS.enoughMs) break;
  }
  return fastestMs;
}

import { PsgdError, layoutOf, type Engine, type Plan, type PlanNode } from "@psgd/core";
import { validatePlan } from "../../validate-plan.js";
import { requireNodes } from "../require-nodes.js";
import { compileOnnx } from "./onnx-executable.js";
import { nativeSessions, type OnnxProvider } from "./native-session.js";
import type { OpenSession } from "./onnx-session.js";

/**
 * Plans lowered to ONNX and run by onnxruntime, synchronously; on the CPU it is the default engine. Results repeat bit
 * for bit for equal `threads` on one machine; between machines they differ by rounding.
 *
 * @param options.provider - where it computes; the engine of another than the CPU is called `onnx-webgpu`, `onnx-cuda`
 * @param options.threads - threads within one run; more than one pays off from about a million weights
 */
export function onnxEngine({
  provider = "cpu",
  threads = 1,
}: { readonly provider?: OnnxProvider; readonly threads?: number } = {}): Engine {
  if (!Number.isSafeInteger(threads) || threads < 1) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `threads: expected a whole number from 1, got ${threads}`,
    );
  }
  const name = provider === "cpu" ? "onnx" : `onnx-${provider}`;
  return {
    name,
    compile: async (plan) => {
      const openSession = nativeSessions({ provider, threads });
      if (provider !== "cpu") requireProvider(name, openSession);
      if (provider === "webgpu") requireNodes(validatePlan(plan), name, webgpuFault);
      return compileOnnx(plan, openSession);
    },
  };
}

/** Its MaxPool does not say where the largest value was, and the gradient goes there. */
function webgpuFault({ kernel }: PlanNode): string | undefined {
  return kernel === "MaxPoolGrad" ? "(onnxruntime has none on WebGPU)" : undefined;
}

/** Tells a device that is not there from a plan that the device refuses. */
function requireProvider(name: string, openSession: OpenSession): void {
  try {
    const executable = compileOnnx(DOUBLE, openSession);
    const { doubled } = executable.run({ x: Float32Array.of(2) }, new Float32Array(0));
    executable.dispose();
    if (doubled![0] !== 4) throw new Error(`2 + 2 is ${doubled![0]}`);
  } catch (error) {
    const { message } = ((error as Error).cause ?? error) as Error;
    throw new PsgdError(
      "BACKEND_UNAVAILABLE",
      // An assertion of onnxruntime's begins with its own source line and condition.
      `${name} engine: expected a device that onnxruntime can use, got "${message.replace(/^.* was false\. /s, "").trim()}"; use the onnx engine`,
      { cause: error },
    );
  }
}

const DOUBLE: Plan = {
  format: "psgd-plan",
  version: 2,
  name: "double",
  values: [
    { shape: [1], dtype: "float32" },
    { shape: [1], dtype: "float32" },
  ],
  inputs: [{ name: "x", value: 0 }],
  layout: layoutOf([]),
  parameters: [],
  state: { layout: layoutOf([]), values: [], next: [] },
  noise: [],
  constants: [],
  nodes: [{ kernel: "Add", inputs: [0, 0], attributes: {}, outputs: [1] }],
  outputs: [{ name: "doubled", value: 1 }],
  gradients: [],
};

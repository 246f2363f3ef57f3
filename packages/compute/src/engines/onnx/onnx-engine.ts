import { PsgdError, type Engine, type Executable, type Plan } from "@psgd/core";
import { DOUBLE } from "../double-plan.js";
import { Trial } from "../trial.js";
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
      if (provider === "cpu") return compileOnnx(plan, nativeSessions({ provider, threads }));
      return compileChecked(name, plan, nativeSessions({ provider, threads }));
    },
  };
}

/** A device may be missing, and one that is there may compute otherwise: its results are held against the CPU's. */
function compileChecked(name: string, plan: Plan, openSession: OpenSession): Executable {
  requireDevice(name, openSession);
  const executable = compileOnnx(plan, openSession);
  const reference = compileOnnx(plan, nativeSessions({ provider: "cpu", threads: 1 }));
  try {
    new Trial(plan).requireAgreement(name, executable, reference);
    return executable;
  } catch (error) {
    executable.dispose();
    throw error;
  } finally {
    reference.dispose();
  }
}

/** Tells a device that is not there from a plan that the device refuses. */
function requireDevice(name: string, openSession: OpenSession): void {
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

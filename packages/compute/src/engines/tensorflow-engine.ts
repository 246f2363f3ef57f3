import { createRequire } from "node:module";
import { PsgdError, type Engine } from "@psgd/core";
import { loadTensorFlow, type TensorFlow } from "../tensorflow.js";
import { validatePlan } from "../validate-plan.js";
import { onnxEngine } from "./onnx/onnx-engine.js";
import { TfjsExecutable } from "./tfjs-engine.js";
import { Trial } from "./trial.js";

/** The faster first. */
const PACKAGES = ["@tensorflow/tfjs-node-gpu", "@tensorflow/tfjs-node"];
const BACKEND = "tensorflow";

/**
 * A plan's kernels dispatched one by one on TensorFlow's native library, on a GPU where its package for that is
 * installed and works, else on the CPU. Both packages are left to the user: they download hundreds of megabytes.
 */
export function tensorflowEngine(): Engine {
  return {
    name: BACKEND,
    compile: async (candidate) => {
      const plan = validatePlan(candidate);
      const executable = new TfjsExecutable(plan, loadNative(), BACKEND);
      const reference = await onnxEngine().compile(plan);
      new Trial(plan).requireAgreement(BACKEND, executable, reference);
      reference.dispose();
      return executable;
    },
  };
}

let loaded: TensorFlow | undefined;

/** @throws {PsgdError} BACKEND_UNAVAILABLE */
function loadNative(): TensorFlow {
  const faults: string[] = [];
  for (const name of PACKAGES) {
    try {
      return (loaded ??= load(name));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      faults.push(`${name}: "${text.trim().split("\n")[0]!}"`);
    }
  }
  throw new PsgdError(
    "BACKEND_UNAVAILABLE",
    `tensorflow engine: expected one of its packages to work, got ${faults.join("; ")}; ` +
      "install one with `npm install --ignore-scripts=false @tensorflow/tfjs-node@4.22.0` (or tfjs-node-gpu), or use the onnx engine",
  );
}

/** A library may load and still not compute, or belong to another copy of TensorFlow.js. */
function load(name: string): TensorFlow {
  const require = createRequire(import.meta.url);
  // Looked for first: TensorFlow.js is not loaded for nothing.
  const file = require.resolve(name);
  const tensorflow = loadTensorFlow();
  const previous = tensorflow.getBackend();
  try {
    require(file);
    if (!tensorflow.engine().backendNames().includes(BACKEND))
      throw new Error("it belongs to another copy of @tensorflow/tfjs");
    void tensorflow.setBackend(BACKEND);
    const eleven = tensorflow.tidy(() => tensorflow.matMul([[1, 2]], [[3], [4]]).dataSync()[0]);
    if (eleven !== 11) throw new Error(`[1 2] times [3 4] is ${eleven}`);
    return tensorflow;
  } finally {
    // The package has made itself the backend of everything.
    void tensorflow.setBackend(previous);
  }
}

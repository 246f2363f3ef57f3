import { createRequire } from "node:module";
import type { InferenceSession } from "onnxruntime-node";
import { PsgdError, type PlanArray, type PlanDType } from "@psgd/core";
import { disableTelemetry } from "./telemetry.js";

/**
 * The only file that knows onnxruntime-node's native binding (1.30.0, the exact version matters). The public API runs
 * the same call in a `setImmediate`; here a run is one synchronous call. A worker thread must not be terminated inside
 * it: that aborts the process.
 *
 * A tensor is any object with these four fields; the binding reads `data` in place and, for outputs given to `run`,
 * writes it in place. An output must not share memory with an input (the results would be wrong without an error).
 */
export interface NativeTensor {
  readonly location: "cpu";
  readonly type: PlanDType;
  readonly dims: readonly number[];
  /** Not backed by shared memory, which the binding refuses. */
  data: PlanArray;
}

export interface NativeSession {
  run(
    feeds: Readonly<Record<string, NativeTensor>>,
    fetches: Readonly<Record<string, NativeTensor>>,
    options: object,
  ): unknown;
  dispose(): void;
}

interface LoadableSession extends NativeSession {
  loadModel(buffer: ArrayBufferLike, byteOffset: number, byteLength: number, options: object): void;
}

interface Binding {
  initOrt(): void;
  readonly binding: { readonly InferenceSession: new () => LoadableSession };
}

/**
 * Opens a model.
 * @throws {PsgdError} BACKEND_UNAVAILABLE if there is no binding for this machine; what the binding throws if it refuses the model
 */
export function openSession(model: Uint8Array, threads: number): NativeSession {
  disableTelemetry();
  const library = loadBinding();
  library.initOrt();
  const session = new library.binding.InferenceSession();
  session.loadModel(model.buffer, model.byteOffset, model.byteLength, {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    // Errors are thrown; what is only logged (dead constants, say) is nothing that anybody can act on.
    logSeverityLevel: 4,
  } satisfies InferenceSession.SessionOptions);
  return session;
}

function loadBinding(): Binding {
  try {
    return createRequire(import.meta.url)("onnxruntime-node/dist/binding.js") as Binding;
  } catch (error) {
    throw new PsgdError(
      "BACKEND_UNAVAILABLE",
      `onnx engine: expected the native binding of onnxruntime-node for ${process.platform} ${process.arch}, ` +
        `got "${error instanceof Error ? error.message : String(error)}"; ` +
        "run `npm ci` on this machine, or use the tfjs engine",
      { cause: error },
    );
  }
}

import { createRequire } from "node:module";
import type { InferenceSession } from "onnxruntime-node";
import { PsgdError } from "@psgd/core";
import type { OnnxTensors, OpenSession } from "./onnx-session.js";
import { disableTelemetry } from "./telemetry.js";

/**
 * The only file that knows onnxruntime-node's native binding (1.30.0, the exact version matters). The public API runs
 * the same call in a `setImmediate`; here a run is one synchronous call. A worker thread must not be terminated inside
 * it: that aborts the process.
 *
 * A tensor is any object with the fields of `OnnxTensor`; the binding reads `data` in place and, for outputs given to
 * `run`, writes it in place. It refuses shared memory. An output must not share memory with an input (the results would
 * be wrong without an error).
 */
interface NativeSession {
  loadModel(buffer: ArrayBufferLike, byteOffset: number, byteLength: number, options: object): void;
  run(feeds: OnnxTensors, fetches: OnnxTensors, options: object): unknown;
  dispose(): void;
}

interface Binding {
  initOrt(): void;
  readonly binding: { readonly InferenceSession: new () => NativeSession };
}

/** Where onnxruntime computes: its execution providers. */
export type OnnxProvider = "cpu" | "webgpu" | "cuda";

/**
 * Sessions of the native library.
 * @throws {PsgdError} BACKEND_UNAVAILABLE if there is no binding for this machine
 */
export function nativeSessions({
  provider,
  threads,
}: {
  readonly provider: OnnxProvider;
  readonly threads: number;
}): OpenSession {
  disableTelemetry();
  const library = loadBinding();
  library.initOrt();
  return (model, feeds, fetches) => {
    const session = new library.binding.InferenceSession();
    session.loadModel(model.buffer, model.byteOffset, model.byteLength, {
      executionProviders: [provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: "all",
      // Errors are thrown; what is only logged (dead constants, say) is nothing that anybody can act on.
      logSeverityLevel: 4,
    } satisfies InferenceSession.SessionOptions);
    return {
      run: () => void session.run(feeds, fetches, NO_OPTIONS),
      dispose: () => session.dispose(),
    };
  };
}

const NO_OPTIONS = {};

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

import type { Engine } from "@psgd/core";
import { compileOnnx } from "./onnx-executable.js";
import { loadWasmSessions } from "./wasm-session.js";

/**
 * The portable engine: the same ONNX models as the onnx engine's, run by onnxruntime-web's WebAssembly in one thread,
 * synchronously. It needs no native code, and the package onnxruntime-web, which is loaded at the first `compile`.
 */
export function wasmEngine(): Engine {
  return {
    name: "wasm",
    compile: async (plan) => compileOnnx(plan, await loadWasmSessions()),
  };
}

import type { Engine } from "@psgd/core";
import { onnxEngine } from "./onnx/onnx-engine.js";
import { wasmEngine } from "./onnx/wasm-engine.js";
import { tensorflowEngine } from "./tensorflow-engine.js";
import { tfjsEngine } from "./tfjs-engine.js";

/** The engines by name; which of them can run here, `probeEngines` finds out. */
export const ENGINES = {
  onnx: () => onnxEngine(),
  "onnx-cuda": () => onnxEngine({ provider: "cuda" }),
  "onnx-webgpu": () => onnxEngine({ provider: "webgpu" }),
  tensorflow: tensorflowEngine,
  wasm: wasmEngine,
  tfjs: tfjsEngine,
} as const satisfies Record<string, () => Engine>;

export type EngineName = keyof typeof ENGINES;

/** Slow, and right: the others are tested against it. */
export const REFERENCE_ENGINE = "tfjs" satisfies EngineName;

export const FAST_ENGINE_NAMES: readonly EngineName[] = (
  Object.keys(ENGINES) as EngineName[]
).filter((name) => name !== REFERENCE_ENGINE);

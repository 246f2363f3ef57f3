import type { Engine } from "@psgd/core";
import { ENGINES, type EngineName } from "./registry.js";
import { tfjsEngine } from "./tfjs-engine.js";

/**
 * The engines that run wherever the tests do, and those PSGD_TEST_ENGINES adds where there is the hardware or the
 * package for them: `PSGD_TEST_ENGINES=onnx-cuda,tensorflow npm test`.
 */
const names = ["onnx", "wasm", ...(process.env["PSGD_TEST_ENGINES"]?.split(",") ?? [])];

export const FAST_ENGINES: readonly Engine[] = names.map((name) => ENGINES[name as EngineName]());

export const REFERENCE: Engine = tfjsEngine();

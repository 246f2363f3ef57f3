import { createRequire } from "node:module";
import type * as tf from "@tensorflow/tfjs";

/** The module `@tensorflow/tfjs`. */
export type TensorFlow = typeof tf;

let loaded: TensorFlow | undefined;

/**
 * The one copy of TensorFlow.js of this process, loaded at the first call (about 90 ms, 30 MB). It is the CommonJS
 * main file, which Node also gives to `import * as tf from "@tensorflow/tfjs"`: two copies would not share variables.
 */
export function loadTensorFlow(): TensorFlow {
  if (loaded === undefined) {
    const module = createRequire(import.meta.url)("@tensorflow/tfjs") as TensorFlow;
    // Chooses the default backend now if there is none, so that there is always one to return to.
    void module.backend();
    // The cpu backend prints an advertisement for tfjs-node at its first use.
    const cpu = module.findBackend("cpu") as unknown as { firstUse: boolean };
    cpu.firstUse = false;
    loaded = module;
  }
  return loaded;
}

import { createRequire } from "node:module";
import { join } from "node:path";
import type { BuildFailure, Plugin } from "esbuild";
import { PsgdError, type ErrorCode } from "@psgd/core";
import { bundleDirectory } from "./compose.js";

/** Where a bundled model finds the one copy of TensorFlow.js that the tracer listens to. */
export const TENSORFLOW_GLOBAL = "psgd.tensorflow";

const require = createRequire(import.meta.url);

/**
 * Bundles a TypeScript or JavaScript file and everything it imports into one ES module: what is hashed and sent.
 * @param failure - code of the error if it does not compile or imports what cannot be found
 * @throws {PsgdError}
 */
export async function bundleModule(path: string, failure: ErrorCode): Promise<string> {
  // Loaded here: most commands bundle nothing, and it takes a sixth of their start.
  const { build } = await import("esbuild");
  try {
    const result = await build({
      entryPoints: [path],
      bundle: true,
      write: false,
      // Where `moduleLoader` puts it: the source map then leads a debugger to the author's file.
      outfile: join(bundleDirectory(), "bundle.mjs"),
      format: "esm",
      platform: "node",
      target: "node20",
      // Errors on workers name the author's own lines.
      sourcemap: "inline",
      sourcesContent: false,
      keepNames: true,
      logLevel: "silent",
      plugins: [ownPackages],
    });
    return result.outputFiles[0]!.text;
  } catch (cause) {
    const errors = (cause as Partial<BuildFailure>).errors ?? [];
    const faults = errors.map(({ text, location }) =>
      location === null
        ? text
        : `${location.file}:${location.line}:${location.column + 1}: ${text}`,
    );
    const text =
      faults.length > 0
        ? faults.join("; ")
        : cause instanceof Error
          ? cause.message
          : String(cause);
    throw new PsgdError(failure, `${path}: expected code that compiles, got: ${text}`, { cause });
  }
}

/** A user's file may lie anywhere: what it imports of ours is found here, and TensorFlow.js is the tracer's own copy. */
const ownPackages: Plugin = {
  name: "own-packages",
  setup(context) {
    context.onResolve({ filter: /^@psgd\/core$/ }, ({ path }) => ({ path: require.resolve(path) }));
    context.onResolve({ filter: /^@tensorflow\/tfjs(-core|-layers)?$/ }, ({ path }) => ({
      path,
      namespace: "tensorflow",
    }));
    context.onLoad({ filter: /.*/, namespace: "tensorflow" }, () => ({
      contents: `module.exports = globalThis[Symbol.for(${JSON.stringify(TENSORFLOW_GLOBAL)})];`,
      loader: "js",
    }));
  },
};

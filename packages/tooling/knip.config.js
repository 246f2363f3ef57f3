export default {
  workspaces: {
    ".": {
      entry: ["codecs/*.ts", "test/**/*.ts"],
      project: ["codecs/**/*.ts", "!codecs/compressors/assembly/**", "test/**/*.ts"],
      // Optional for users of compute, which looks for it when asked; here so that its engine is tested.
      ignoreDependencies: ["onnxruntime-web"],
    },
    "packages/*": { project: ["src/**/*.ts"] },
    "packages/cli": {
      entry: [
        "src/psgd.ts",
        "src/quickstart.ts",
        "src/node-process.ts",
        "src/node-thread.ts",
        "src/node-watchdog-thread.ts",
      ],
      project: ["src/**/*.ts"],
    },
    "packages/tooling": { entry: ["*.{js,cjs}"] },
    workers: { entry: ["worker.ts", "bin/*.js"] },
    jobs: { entry: ["job-submit.ts", "bin/*.js"] },
  },
};

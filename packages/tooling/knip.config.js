export default {
  workspaces: {
    ".": {
      entry: ["codecs/*.ts", "test/**/*.ts", "packages/tooling/*.{js,cjs}"],
      project: ["codecs/*.ts", "test/**/*.ts"],
    },
    "packages/*": { entry: ["src/index.ts", "src/**/*.test.ts"], project: ["src/**/*.ts"] },
    "packages/cli": {
      entry: [
        "src/index.ts",
        "src/psgd.ts",
        "src/quickstart.ts",
        "src/node-process.ts",
        "src/node-thread.ts",
        "src/**/*.test.ts",
      ],
      project: ["src/**/*.ts"],
    },
    workers: { entry: ["worker.ts", "bin/*.js"] },
    jobs: { entry: ["job-submit.ts", "bin/*.js"] },
  },
  ignore: ["**/dist/**"],
};

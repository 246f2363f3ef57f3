/** Who may import whom; the picture is in packages/README.md. */
const MAY_IMPORT = {
  core: [],
  wire: ["core"],
  transport: ["core", "wire"],
  sgd: ["core"],
  data: ["core"],
  compute: ["core"],
  remote: ["core", "wire", "compute"],
  runtime: ["core", "wire", "transport", "sgd", "data"],
  harness: ["core", "wire", "transport", "sgd", "data", "runtime"],
};
const HOME_OF = {
  "@nats-io/": "^packages/transport/src/nats/",
  "onnxruntime-": "^packages/compute/",
  "@tensorflow/": "^packages/compute/",
  msgpackr: "^packages/wire/",
  yargs: "^packages/cli/",
  "csv-stringify": "^packages/runtime/",
  esbuild: "^packages/cli/",
};
const TESTS = "\\.test\\.ts$|^test/|^codecs/testing/|\\.bench\\.ts$";

module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "only-the-index",
      comment: "Import another package by its name; what is not exported there is private.",
      severity: "error",
      from: { path: "^packages/([^/]+)/" },
      to: {
        path: "^packages/[^/]+/(src|dist)/",
        pathNot: ["^packages/$1/", "/index\\.(ts|js|d\\.ts)$"],
      },
    },
    ...Object.entries(MAY_IMPORT).map(([name, allowed]) => ({
      name: `${name}-imports`,
      comment: `${name} may import only: ${allowed.join(", ") || "nothing of ours"}.`,
      severity: "error",
      from: { path: `^packages/${name}/`, pathNot: TESTS },
      to: { path: `^packages/(?!(${[name, ...allowed].join("|")})/)` },
    })),
    {
      name: "core-imports-nothing",
      comment: "core is the vocabulary: no third-party library, no Node module.",
      severity: "error",
      from: { path: "^packages/core/", pathNot: TESTS },
      to: { dependencyTypesNot: ["local"] },
    },
    {
      name: "all-is-found",
      comment: "What cannot be resolved is judged by no other rule.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "codecs-import-core-only",
      severity: "error",
      from: { path: "^codecs/", pathNot: TESTS },
      to: { path: ["^packages/(?!core/)", "node_modules"] },
    },
    ...Object.entries(HOME_OF).map(([library, home]) => ({
      name: `${library.replace(/\W/g, "")}-has-one-home`,
      severity: "error",
      from: { path: "^(packages|codecs|workers|jobs)/", pathNot: [home, TESTS] },
      to: { path: `node_modules/${library}` },
    })),
  ],
  options: {
    tsPreCompilationDeps: true,
    exclude: { path: "(^|/)dist/.*\\.js$" },
    doNotFollow: { path: "node_modules|/dist/" },
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["types", "import", "default"],
    },
  },
};

import tseslint from "typescript-eslint";

/** Code reaches time, randomness, files and sockets only through the interfaces of core. */
const WORLD_GLOBALS = ["setTimeout", "setInterval", "setImmediate", "performance"].map((name) => ({
  name,
  message: "Use the Clock of core: code outside the adapters must run under virtual time.",
}));
const WORLD_PROPERTIES = [
  ["Date", "now", "Clock"],
  ["Math", "random", "Random"],
  ["process", "hrtime", "Clock"],
].map(([object, property, contract]) => ({
  object,
  property,
  message: `Use the ${contract} of core: runs must repeat from a seed.`,
}));
const WORLD_MODULES = [
  "fs",
  "fs/promises",
  "net",
  "http",
  "https",
  "child_process",
  "dgram",
  "tls",
].map((name) => ({
  name: `node:${name}`,
  message: "Use the Store or Transport of core; only adapters touch the machine.",
}));

export default tseslint.config(
  {
    ignores: [
      ...["**/dist/**", "**/node_modules/**", "tmp_log/**"],
      // AssemblyScript looks like TypeScript, and is another language.
      "codecs/compressors/assembly/**",
    ],
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      // Empty bodies are the documented default of optional hooks.
      "@typescript-eslint/no-empty-function": "off",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/no-non-null-assertion": "off",
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            { group: ["@psgd/*/*"], message: "Import another package only by its index." },
          ],
        },
      ],
    },
  },
  {
    files: ["packages/{core,wire,transport,sgd,data,runtime,harness}/src/**/*.ts", "codecs/*.ts"],
    ignores: [
      "**/*.test.ts",
      "**/*.bench.ts",
      "packages/runtime/src/system/**",
      "packages/transport/src/nats/**",
    ],
    rules: {
      "no-restricted-globals": ["error", ...WORLD_GLOBALS],
      "no-restricted-properties": ["error", ...WORLD_PROPERTIES],
      "no-restricted-imports": [
        "error",
        {
          paths: WORLD_MODULES,
          patterns: [
            { group: ["@psgd/*/*"], message: "Import another package only by its index." },
          ],
        },
      ],
    },
  },
  {
    files: ["packages/*/src/**/*.ts"],
    ignores: ["**/*.test.ts"],
    rules: { "@typescript-eslint/explicit-module-boundary-types": "error" },
  },
);

import { createRequire } from "node:module";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { ERROR_CODES, type ErrorCode } from "@psgd/core";
import { EXIT_CODES, exitCodeOf } from "@psgd/cli";
import { describe, expect, it } from "vitest";
import { expectGenerated } from "../support/markdown.js";
import { PROJECT_ROOT } from "../support/project-root.js";
import { textOf } from "../support/repository.js";

function helpOf(program: string, args: readonly string[]): string {
  const env: NodeJS.ProcessEnv = { ...process.env };
  // Their values would show as defaults.
  delete env["NATS_URL"];
  return execFileSync(process.execPath, [join(PROJECT_ROOT, program), ...args], {
    encoding: "utf8",
    env,
  });
}

describe("the README's options", () => {
  it.each([
    ["job-submit", "jobs/bin/job-submit.js", ["--help"]],
    ["worker", "workers/bin/worker.js", ["--help"]],
    ["psgd", "packages/cli/bin/psgd.js", []],
  ])("are what %s says", (name, program, args) => {
    expectGenerated("README.md", name, `\`\`\`text\n${helpOf(program, args).trim()}\n\`\`\``);
  });
});

describe("the README's exit codes", () => {
  const rows = [...textOf("README.md").matchAll(/^\| (\d+) +\| (.+?) +\| (.*?) *\|$/gm)].map(
    ([, code, , errors]) => [
      Number(code),
      [...errors!.matchAll(/`(\w+)`/g)].map(([, error]) => error),
    ],
  );

  it("are those of the programs, with the errors that lead to them", () => {
    const errors = Object.keys(ERROR_CODES) as ErrorCode[];
    expect(rows).toEqual(
      Object.values(EXIT_CODES).map((code) => [
        code,
        errors.filter((error) => exitCodeOf(error) === code),
      ]),
    );
  });
});

interface Rule {
  readonly name: string;
  readonly to: { readonly path?: unknown };
}

/** Package → what it may import, as the rules of dependency-cruiser have it. */
function mayImport(): Map<string, string[]> {
  const require = createRequire(import.meta.url);
  const { forbidden } = require("../../packages/tooling/dependency-cruiser.config.cjs") as {
    forbidden: readonly Rule[];
  };
  const allowed = new Map<string, string[]>();
  for (const { name, to } of forbidden) {
    const [, from] = /^(\w+)-imports$/.exec(name) ?? [];
    const [, list] = /^\^packages\/\(\?!\(([\w|]+)\)\/\)$/.exec(String(to.path)) ?? [];
    if (from !== undefined && list !== undefined)
      allowed.set(
        from,
        list.split("|").filter((each) => each !== from),
      );
  }
  return allowed;
}

describe("packages/README.md", () => {
  it("draws the packages as the rules have them", () => {
    const allowed = mayImport();
    expect(allowed.get("core")).toEqual([]);
    expect(allowed.get("transport")).toEqual(["core", "wire"]);
    const edges = [...allowed].flatMap(([from, list]) => list.map((to) => `  ${from} --> ${to}`));
    const graph = ["```mermaid", "graph BT", ...edges, "  codecs --> core", "```"];
    expectGenerated("packages/README.md", "graph", graph.join("\n"));
  });
});

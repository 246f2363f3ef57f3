import { createRequire } from "node:module";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { ERROR_CODES, type ErrorCode } from "@psgd/core";
import { EXIT_CODES, exitCodeOf } from "@psgd/cli";
import { describe, expect, it } from "vitest";
import { expectGenerated } from "../support/markdown.js";
import { PROJECT_ROOT } from "../support/project-root.js";
import { isSource, projectFiles, textOf } from "../support/repository.js";

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

/** The table of codecs, from their headers. */
function catalog(): string {
  const rows = projectFiles("codecs")
    .filter((path) => isSource(path) && path.split("/").length === 2)
    .map((path) => {
      const text = textOf(path);
      const file = path.slice("codecs/".length, -".ts".length);
      const classes = [...text.matchAll(/^export class (\w+) /gm)].map(([, name]) => name!);
      // Clients first: they are what a job names.
      const inOrder = classes.sort(
        (a, b) => Number(/Server|PS$/.test(a)) - Number(/Server|PS$/.test(b)),
      );
      const header = /^(?:\/\*|\/\*\*)\n((?: \*.*\n)+?) \*\n \* Algorithm/m.exec(text)?.[1] ?? "";
      const said = header
        .replace(/^ \* ?/gm, "")
        .trim()
        .replace(/\n/g, " ");
      return [`\`${file}\``, inOrder.map((name) => `\`${name}\``).join(", "), said];
    });
  const table = [["File", "Classes", "What it does"], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = table.map(
    (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`,
  );
  lines.splice(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`);
  return lines.join("\n");
}

it("the codecs' catalogue lists every codec as its header says", () => {
  expectGenerated("codecs/CATALOG.md", "codecs", catalog());
});

it("the compressors' module is the one that their loops compile to", async () => {
  // @ts-expect-error -- a script of the tooling, without types
  const { compileKernels } = (await import("../../packages/tooling/build-kernels.js")) as {
    compileKernels: () => Promise<string>;
  };
  expect(textOf("codecs/compressors/kernels-module.ts")).toBe(await compileKernels());
});

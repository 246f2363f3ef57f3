import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNode } from "../support/processes.js";
import { PROJECT_ROOT } from "../support/project-root.js";
import { packageNames, textOf } from "../support/repository.js";

/** File → what is wrong in it, and the rule that must say so; none for what is allowed. */
const CASES: Readonly<Record<string, { code: string; rule: string | undefined }>> = {
  "packages/wire/src/inside.ts": {
    code: 'export * from "../../core/src/secret.js";',
    rule: "only-the-index",
  },
  "packages/wire/src/upwards.ts": {
    code: 'import { a } from "@psgd/transport"; export const b = a;',
    rule: "wire-imports",
  },
  "packages/sgd/src/sideways.ts": {
    code: 'import type { a } from "@psgd/data"; export type B = typeof a;',
    rule: "sgd-imports",
  },
  "packages/core/src/third-party.ts": {
    code: 'import { a } from "msgpackr"; export const b = a;',
    rule: "core-imports-nothing",
  },
  "packages/core/src/node-module.ts": {
    code: 'import { join } from "node:path"; export const b = join;',
    rule: "core-imports-nothing",
  },
  "packages/sgd/src/foreign.ts": {
    code: 'import { a } from "msgpackr"; export const b = a;',
    rule: "msgpackr-has-one-home",
  },
  "packages/data/src/one.ts": {
    code: 'import type { Two } from "./two.js"; export type One = Two;',
    rule: "no-cycles",
  },
  "packages/data/src/two.ts": {
    code: 'import type { One } from "./one.js"; export type Two = One | 2;',
    // A cycle is told once, where it was met first.
    rule: undefined,
  },
  "codecs/greedy.ts": {
    code: 'import { a } from "@psgd/sgd"; export const b = a;',
    rule: "codecs-import-core-only",
  },
  "codecs/honest.ts": {
    code: 'import { a } from "@psgd/core"; export const b = a;',
    rule: undefined,
  },
  "packages/wire/src/honest.ts": {
    code: 'import { a } from "@psgd/core"; import { b } from "msgpackr"; export const c = a + b;',
    rule: undefined,
  },
};

describe("the rules of dependency-cruiser", () => {
  const folder = mkdtempSync(join(tmpdir(), "psgd-rules-"));
  let violations: { from: string; rule: { name: string } }[] = [];

  function write(path: string, text: string): void {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }

  beforeAll(async () => {
    write("tsconfig.json", textOf("tsconfig.json"));
    write("packages/core/src/secret.ts", "export const secret = 1;");
    write("node_modules/msgpackr/package.json", '{ "name": "msgpackr", "main": "index.js" }');
    write("node_modules/msgpackr/index.js", "exports.a = 1;");
    mkdirSync(join(folder, "node_modules/@psgd"));
    for (const name of packageNames().filter((each) => each !== "tooling")) {
      write(`packages/${name}/dist/index.d.ts`, "export declare const a: number;");
      write(`packages/${name}/dist/index.js`, "export const a = 1;");
      cpSync(
        join(PROJECT_ROOT, `packages/${name}/package.json`),
        join(folder, `packages/${name}/package.json`),
      );
      symlinkSync(`../../packages/${name}`, join(folder, "node_modules/@psgd", name));
    }
    for (const [path, { code }] of Object.entries(CASES)) write(path, `${code}\n`);
    await using cruiser = startNode(
      [
        join(PROJECT_ROOT, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs"),
        ...["--config", join(PROJECT_ROOT, "packages/tooling/dependency-cruiser.config.cjs")],
        ...["--output-type", "json", "packages", "codecs"],
      ],
      { cwd: folder },
    );
    await cruiser.exit();
    const { summary } = JSON.parse(cruiser.stdout) as {
      summary: { violations: typeof violations };
    };
    violations = summary.violations;
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(Object.entries(CASES))("judge %s rightly", (path, { rule }) => {
    const names = violations.filter(({ from }) => from === path).map((each) => each.rule.name);
    expect(names).toEqual(rule === undefined ? [] : expect.arrayContaining([rule]));
  });
});

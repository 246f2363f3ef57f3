import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { fencesOf } from "../support/markdown.js";
import { startCli, startNode } from "../support/processes.js";
import { PROJECT_ROOT } from "../support/project-root.js";
import { jsonOf, projectFiles, textOf } from "../support/repository.js";

/** The root README is run line by line elsewhere. */
const READMES = projectFiles().filter((path) => path.endsWith("/README.md"));

/** What examples take for given, to save the reader lines that say nothing about the package. */
const GIVEN: Readonly<Record<string, string>> = {
  "packages/compute/README.md": `
    import type * as tf from "@tensorflow/tfjs";
    declare const x: Float32Array, y: Float32Array;`,
  "packages/data/README.md": `
    import type { Logger, Store } from "@psgd/core";
    declare const store: Store, log: Logger;`,
  "packages/runtime/README.md": `
    import type * as runtime from "@psgd/runtime";
    import { WorkerDaemon, followJob, submitJob } from "@psgd/runtime";
    type Given = runtime.WorkerDaemonOptions & runtime.SubmitOptions & { observer: runtime.JobObserver } & {
      addresses: ReadonlyMap<number, string>;
    };
    declare const { info, transport, directory, store, host, clock, random, log, observer }: Given;
    declare const { jobId, spec, packages, placement, client, addresses }: Given;
    declare const leaseTimeoutMs: number, readyTimeoutMs: number;`,
  "packages/transport/README.md": `
    import type { Clock, Logger, Random } from "@psgd/core";
    declare const clock: Clock, random: Random, log: Logger;`,
};

interface Example {
  readonly readme: string;
  readonly line: number;
  /** Path of the file it is put into, without ending. */
  readonly path: string;
  readonly text: string;
  /** Whether it is complete, so that it can be run, too. */
  readonly isWhole: boolean;
}

const EXAMPLES = READMES.flatMap((readme) =>
  fencesOf(textOf(readme))
    .filter(({ language }) => language === "ts")
    .map(({ code, line }): Example => {
      const given = GIVEN[readme] ?? "";
      return {
        readme,
        line,
        path: `${dirname(readme)}/example-${line}`,
        text: `${code}\n${given}\nexport {};\n`,
        isWhole: given === "" && !code.includes('from "vitest"'),
      };
    }),
);

describe("the examples of the READMEs", () => {
  const folder = mkdtempSync(join(tmpdir(), "psgd-examples-"));
  let compilerOutput = "";

  beforeAll(async () => {
    symlinkSync(join(PROJECT_ROOT, "node_modules"), join(folder, "node_modules"));
    cpSync(join(PROJECT_ROOT, "codecs"), join(folder, "codecs"), {
      recursive: true,
      filter: (path) => !/\/dist$|\.tsbuildinfo$/.test(path),
    });
    for (const { path, text } of EXAMPLES) {
      mkdirSync(join(folder, dirname(path)), { recursive: true });
      writeFileSync(join(folder, `${path}.ts`), text);
    }
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    const { compilerOptions } = jsonOf("packages/tooling/tsconfig.base.json");
    const tsconfig = {
      compilerOptions: {
        ...(compilerOptions as object),
        ...{ rootDir: ".", outDir: "out", composite: false, incremental: false },
        // As for codecs; and an example may name what it does not use.
        ...{ noUncheckedIndexedAccess: false, noUnusedLocals: false, noEmitOnError: false },
      },
      files: EXAMPLES.map(({ path }) => `${path}.ts`),
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(tsconfig));
    const tsc = join(PROJECT_ROOT, "node_modules/typescript/bin/tsc");
    await using compiler = startNode([tsc, "-p", "."], { cwd: folder });
    await compiler.exit();
    compilerOutput = compiler.output;
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(EXAMPLES)("compile: $readme, line $line", ({ path }) => {
    const faults = compilerOutput.split("\n").filter((text) => text.startsWith(path));
    expect(faults).toEqual([]);
  });

  it("compile, and so does all that they import", () => {
    expect(compilerOutput).toBe("");
  });

  it.each(EXAMPLES.filter(({ isWhole }) => isWhole))(
    "run: $readme, line $line",
    async ({ path }) => {
      await using program = startNode([join(folder, "out", `${path}.js`)], { cwd: folder });
      const { code } = await program.exit();
      expect(code, program.output).toBe(0);
    },
  );
});

describe("the model in the README of compute", () => {
  it("is trained", async () => {
    const directory = mkdtempSync(join(tmpdir(), "psgd-model-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const fence = fencesOf(textOf("packages/compute/README.md")).find(
      ({ language }) => language === "js",
    );
    writeFileSync(join(directory, "my_model.js"), fence!.code);
    const job = "--local --node-count 2 --dataset digits --steps 3 --model my_model.js".split(" ");
    await using submission = startCli("job-submit", job, { cwd: directory });
    const { code } = await submission.exit();
    expect(code, submission.output).toBe(0);
  });
});

describe("the commands of the READMEs", () => {
  const scripts = Object.keys(jsonOf("package.json")["scripts"] as object);
  const programs = projectFiles()
    .filter((path) => path.endsWith("package.json"))
    .flatMap((path) => Object.keys(jsonOf(path)["bin"] ?? {}));

  it.each(READMES)("are there: %s", (readme) => {
    // In code blocks and in the text alike.
    const text = textOf(readme);
    const unknown = [
      ...[...text.matchAll(/npm run ([\w:-]+)/g)].filter(([, name]) => !scripts.includes(name!)),
      ...[...text.matchAll(/npx ([\w-]+)/g)].filter(
        ([, name]) => !programs.includes(name!) && name !== "vitest",
      ),
    ];
    expect(unknown.map(([command]) => command)).toEqual([]);
  });
});

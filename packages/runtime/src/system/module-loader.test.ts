import { once } from "node:events";
import { mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { moduleLoader } from "./module-loader.js";

const BUILT = fileURLToPath(new URL("../../dist/system/module-loader.js", import.meta.url));

describe("the module loader", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "psgd-modules-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("gives every thread the whole module, although all write it at the same time", async () => {
    // Long enough that a file half written is likely to be seen.
    const source = `// ${"x".repeat(3_000_000)}\nexport const answer = 42;\n`;
    const code = `
      const { parentPort, workerData } = require("node:worker_threads");
      (async () => {
        const { moduleLoader } = await import(workerData.built);
        const { answer } = await moduleLoader(workerData.folder)(workerData.source);
        parentPort.postMessage(answer);
      })();`;
    const answers = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const workerData = { built: BUILT, folder, source };
        const [answer] = (await once(
          new Worker(code, { eval: true, workerData }),
          "message",
        )) as unknown[];
        return answer;
      }),
    );
    expect(answers).toEqual([42, 42, 42, 42, 42, 42]);
    expect((await readdir(folder)).length).toBe(1);
  });

  it("keeps no more than the 256 files that were loaded last", async () => {
    const full = await mkdtemp(join(folder, "full-"));
    for (let age = 1; age <= 300; age++) {
      const path = join(full, `${age}.mjs`);
      await writeFile(path, "");
      await utimes(path, 1_000_000_000 - age, 1_000_000_000 - age);
    }
    const load = moduleLoader(full);
    await load("export const fresh = 1;");
    const names = await readdir(full);
    expect(names.length).toBe(256);
    expect(names).toContain("255.mjs");
    expect(names).not.toContain("256.mjs");
    expect(await load("export const fresh = 1;")).toMatchObject({ fresh: 1 });
  });

  it("loads what it is given, whatever else it has loaded", async () => {
    const load = moduleLoader(folder);
    expect(await load("export const name = 'first';")).toMatchObject({ name: "first" });
    expect(await load("export const name = 'second';")).toMatchObject({ name: "second" });
  });
});

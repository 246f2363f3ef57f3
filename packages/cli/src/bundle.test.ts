import { createHash } from "node:crypto";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { moduleLoader } from "@psgd/runtime";
import { bundleModule } from "./bundle.js";
import { workDirectory } from "./work-directory.fixture.js";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

describe("a bundle", () => {
  it("holds what the file imports, and Node's own modules stay imports", async () => {
    await using work = await workDirectory({
      "main.ts":
        'import { sep } from "node:path";\nimport { twice } from "./lib/math.js";\nexport const answer: string = sep + twice(21);',
      "lib/math.ts": "export const twice = (x: number): number => 2 * x;",
    });
    const source = await bundleModule(join(work.path, "main.ts"), "CODEC_LOAD_FAILED");
    const loaded = await moduleLoader(join(work.path, "elsewhere"))(source);
    expect(loaded["answer"]).toBe("/42");
  });

  it("is the same bytes for the same content, and others when an imported file changes", async () => {
    await using work = await workDirectory({
      "main.ts": 'export { value } from "./part.js";',
      "part.ts": "export const value = 1;",
    });
    const main = join(work.path, "main.ts");
    const first = await bundleModule(main, "CODEC_LOAD_FAILED");
    expect(sha256(await bundleModule(main, "CODEC_LOAD_FAILED"))).toBe(sha256(first));
    await work.write("part.ts", "export const value = 2;");
    expect(sha256(await bundleModule(main, "CODEC_LOAD_FAILED"))).not.toBe(sha256(first));
  });

  it("keeps the names of classes", async () => {
    await using work = await workDirectory({
      "main.ts": "class Inner {}\nexport const name = (() => Inner.name)();",
    });
    const source = await bundleModule(join(work.path, "main.ts"), "CODEC_LOAD_FAILED");
    expect((await moduleLoader(join(work.path, "out"))(source))["name"]).toBe("Inner");
  });

  it("names file, line and column of every fault, under the code it is told", async () => {
    await using work = await workDirectory({
      "broken.ts": "export const a = 1;\nexport class A {\n  b(: number) {}\n}\n",
    });
    const bundling = bundleModule(join(work.path, "broken.ts"), "MODEL_INVALID");
    await expect(bundling).rejects.toThrow(/^MODEL_INVALID: .*broken\.ts:3:\d+: /);
    await expect(bundling).rejects.not.toThrow("\n");
  });

  it("names an import that cannot be found and where it stands", async () => {
    await using work = await workDirectory({
      "main.ts": '\nimport { x } from "./nowhere.js";\nexport const y = x;',
    });
    await expect(bundleModule(join(work.path, "main.ts"), "CODEC_LOAD_FAILED")).rejects.toThrow(
      /main\.ts:2:\d+: Could not resolve "\.\/nowhere\.js"/,
    );
  });
});

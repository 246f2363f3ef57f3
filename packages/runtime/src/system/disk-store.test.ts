import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Store } from "@psgd/core";
import { diskStore } from "./disk-store.js";

let parent: string;
let root: string;
let store: Store;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "psgd-store-"));
  root = join(parent, "root");
  store = diskStore(root);
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = async (key: string): Promise<string | undefined> => {
  const content = await store.read(key);
  return content === undefined ? undefined : new TextDecoder().decode(content);
};

describe("the disk store", () => {
  it("reads what was written, replaced and appended, and nothing where nothing is", async () => {
    expect(await text("a/b.txt")).toBeUndefined();
    await store.write("a/b.txt", bytes("one"));
    expect(await text("a/b.txt")).toBe("one");
    await store.write("a/b.txt", bytes("two"));
    await store.append("a/b.txt", bytes(" and more"));
    await store.append("a/c/log", bytes("first"));
    expect([await text("a/b.txt"), await text("a/c/log")]).toEqual(["two and more", "first"]);
  });

  it("makes no directory before something is written", async () => {
    await store.list("");
    await store.read("a");
    await store.remove("a");
    expect(await readdir(parent)).toEqual([]);
  });

  it("does not overwrite where it must not, and the old content stays", async () => {
    await store.write("a", bytes("old"), { exclusive: true });
    await expect(store.write("a", bytes("new"), { exclusive: true })).rejects.toThrow(
      /^STORE_EXISTS: .*root\/a: expected no file of this name, got one; it is not overwritten/,
    );
    expect(await text("a")).toBe("old");
  });

  it("lets one of many win who write the same name at once", async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) => store.write("a", bytes(String(n)), { exclusive: true })),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const winner = outcomes.findIndex(({ status }) => status === "fulfilled");
    expect(await text("a")).toBe(String(winner));
  });

  it("leaves nothing beside the file, whether a write succeeds or fails", async () => {
    await store.write("a", bytes("x"));
    await store.write("a", bytes("y"), { exclusive: true }).catch(() => {});
    await store.write("a/below", bytes("z")).catch(() => {});
    expect(await readdir(root)).toEqual(["a"]);
  });

  it("shows no half of a file to those who read while it is written", async () => {
    const versions = ["a", "b"].map((letter) => letter.repeat(200_000));
    await store.write("big", bytes(versions[0]!));
    const writing = (async () => {
      for (let n = 1; n < 20; n++) await store.write("big", bytes(versions[n % 2]!));
    })();
    for (let n = 0; n < 40; n++) expect(versions).toContain(await text("big"));
    await writing;
  });

  it("says that a file is in the way of a directory, and the reverse", async () => {
    await writeFile(join(parent, "file"), "");
    const misplaced = diskStore(join(parent, "file"));
    await expect(misplaced.write("a", bytes("x"))).rejects.toThrow(/^STORE_FAILED: .*write it/);
    await expect(misplaced.write("a", bytes("x"), { exclusive: true })).rejects.toThrow(
      /^STORE_FAILED: /,
    );
    await expect(misplaced.append("a", bytes("x"))).rejects.toThrow(/^STORE_FAILED: /);
    await expect(misplaced.read("a")).rejects.toThrow(/^STORE_FAILED: .*read it/);
    await expect(misplaced.list("")).rejects.toThrow(/^STORE_FAILED: .*list it/);
    await store.write("dir/file", bytes("x"));
    await expect(store.write("dir", bytes("x"))).rejects.toThrow(/^STORE_FAILED: /);
    await expect(store.read("dir")).rejects.toThrow(/^STORE_FAILED: /);
  });

  it.each(["..", "../a", "a/../b", "/etc/passwd", "a//b", "", ".", "a\\b", "a\0", "a\nb", "ä"])(
    "refuses the key %j whatever is done with it",
    async (key) => {
      for (const attempt of [
        () => store.read(key),
        () => store.write(key, bytes("x")),
        () => store.append(key, bytes("x")),
        () => store.remove(key),
      ])
        await expect(attempt()).rejects.toThrow(/^STORE_FAILED: key: expected names of letters/);
    },
  );

  it.each(["../", "a/../../", "/etc/"])("lists nothing outside: %j", async (prefix) => {
    await writeFile(join(parent, "secret"), "");
    await expect(store.list(prefix)).rejects.toThrow(/^STORE_FAILED: key/);
  });

  it("takes the names of results as keys", async () => {
    const key = "jobs/j/node-0/files/T-N(2)-R(1)-ID(-2)-CODEC(plain.Plain).csv";
    await store.write(key, bytes("x"));
    await store.write("tmp_log/Training log @ node-0_16-53-33.log", bytes("y"));
    expect(await text(key)).toBe("x");
  });

  it("lists by prefix, sorted, with sizes, and without what is being written", async () => {
    for (const key of ["b/2", "b/10", "a/x/y", "ab", "b.txt"]) await store.write(key, bytes(key));
    await writeFile(join(root, "b", ".tmp-0123"), "half");
    const keys = async (prefix: string): Promise<string[]> =>
      (await store.list(prefix)).map(({ key }) => key);
    expect(await keys("")).toEqual(["a/x/y", "ab", "b.txt", "b/10", "b/2"]);
    expect(await keys("b")).toEqual(["b.txt", "b/10", "b/2"]);
    expect(await keys("b/")).toEqual(["b/10", "b/2"]);
    expect(await keys("b/1")).toEqual(["b/10"]);
    expect(await keys("nothing/")).toEqual([]);
    expect(await store.list("ab")).toEqual([{ key: "ab", bytes: 2 }]);
  });

  it("removes what is below too, and minds nothing that is not there", async () => {
    await store.write("a/b/c", bytes("x"));
    await store.write("ab", bytes("x"));
    await store.remove("a");
    await store.remove("a");
    expect((await store.list("")).map(({ key }) => key)).toEqual(["ab"]);
  });
});

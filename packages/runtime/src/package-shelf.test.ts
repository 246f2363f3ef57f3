import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Store } from "@psgd/core";
import { PackageShelf } from "./package-shelf.js";
import { diskStore } from "./system/disk-store.js";
import { packageKey } from "./worker-store.js";

describe("the shelf of packages", () => {
  let folder: string;
  let store: Store;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "psgd-shelf-"));
    store = diskStore(folder);
  });
  afterEach(() => rm(folder, { recursive: true }));

  const held = async (): Promise<string> =>
    (await store.list("packages/")).map(({ key }) => key.slice(-1)).join("");

  async function shelfOf(digests: string, keptBytes: number, inUse = ""): Promise<PackageShelf> {
    const shelf = new PackageShelf(store, (digest) => inUse.includes(digest), keptBytes);
    for (const digest of digests)
      await shelf.use(digest, () => store.write(packageKey(digest), new Uint8Array(10)));
    return shelf;
  }

  it("keeps what was used last, as much as it may", async () => {
    const shelf = await shelfOf("abcde", 30);
    await shelf.use("a", async () => {});
    await shelf.prune();
    expect(await held()).toBe("ade");
  });

  it("takes what an earlier process has left for the oldest", async () => {
    await shelfOf("xyz", 100);
    const shelf = await shelfOf("ab", 30);
    await shelf.prune();
    expect(await held()).toBe("abz");
  });

  it("never removes what is in use, even if that alone is too much", async () => {
    const shelf = await shelfOf("abcd", 10, "abc");
    await shelf.prune();
    expect(await held()).toBe("abc");
    await shelf.drop("b");
    expect(await held()).toBe("abc");
  });
});

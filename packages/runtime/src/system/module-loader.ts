import { createHash, randomUUID } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { LoadModule } from "../node/load-codec.js";

/** Loads modules from files named by the hash of their source: what runs is what was sent, never an older one. */
export function moduleLoader(directory: string): LoadModule {
  return async (source) => {
    await mkdir(directory, { recursive: true });
    const path = join(directory, `${createHash("sha256").update(source).digest("hex")}.mjs`);
    // The nodes of a job load it at the same time: each sees no file or a whole one.
    const draft = `${path}.${randomUUID()}`;
    await writeFile(draft, source);
    await rename(draft, path);
    return (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
  };
}

import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { LoadModule } from "../node/load-codec.js";

/** Loads modules from files named by the hash of their source: what runs is what was sent, never an older one. */
export function moduleLoader(directory: string): LoadModule {
  return async (source) => {
    await mkdir(directory, { recursive: true });
    const path = join(directory, `${createHash("sha256").update(source).digest("hex")}.mjs`);
    await writeFile(path, source);
    return (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
  };
}

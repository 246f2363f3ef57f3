import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { LoadModule } from "../node/load-codec.js";

/** So many files stay: far more than one job has, and the one that was loaded last is the last to go. */
const KEPT_FILES = 256;

/** Loads modules from files named by the hash of their source: what runs is what was sent, never an older one. */
export function moduleLoader(directory: string): LoadModule {
  return async (source) => {
    await mkdir(directory, { recursive: true });
    const path = join(directory, `${createHash("sha256").update(source).digest("hex")}.mjs`);
    // Moved into place whole: another node of the job may read it at this moment.
    const temporary = join(directory, `${randomUUID()}.tmp`);
    await writeFile(temporary, source);
    await rename(temporary, path);
    const loaded = (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
    await prune(directory);
    return loaded;
  };
}

/** Each load writes its file anew: the oldest are those not used for longest, or left half written by a process that died. */
async function prune(directory: string): Promise<void> {
  const names = await readdir(directory);
  if (names.length <= KEPT_FILES) return;
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(directory, name);
      // Others tidy up, too: what is gone is the oldest.
      const modifiedAt = await stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      );
      return { path, modifiedAt };
    }),
  );
  files.sort((a, b) => b.modifiedAt - a.modifiedAt);
  for (const { path } of files.slice(KEPT_FILES)) await rm(path, { force: true });
}

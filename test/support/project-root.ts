import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository, whether this runs from its source or compiled. */
export const PROJECT_ROOT = find(dirname(fileURLToPath(import.meta.url)));

function find(directory: string): string {
  return existsSync(join(directory, "package-lock.json")) ? directory : find(dirname(directory));
}

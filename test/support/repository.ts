import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT_ROOT } from "./project-root.js";

const NOT_OURS = new Set([
  "node_modules",
  "dist",
  "tmp_log",
  "psgd-results",
  "shared",
  ".git",
  ".cache",
]);

/** All files of the project that are neither installed, built nor written at run time, as paths relative to it. */
export function projectFiles(folder = ""): string[] {
  return readdirSync(join(PROJECT_ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (NOT_OURS.has(entry.name)) return [];
    return entry.isDirectory() ? projectFiles(path) : [path];
  });
}

/** A file's text. */
export function textOf(path: string): string {
  return readFileSync(join(PROJECT_ROOT, path), "utf8");
}

/** A file's JSON. */
export function jsonOf(path: string): Record<string, unknown> {
  return JSON.parse(textOf(path)) as Record<string, unknown>;
}

/** The folders of `packages/`, by name. */
export function packageNames(): string[] {
  return readdirSync(join(PROJECT_ROOT, "packages"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

const NOT_SOURCE =
  /\.(test|bench|fixture)\.ts$|^test\/|\/testing\/|^codecs\/compressors\/kernels-module\.ts$/;

/** Whether a path is source that runs in production: TypeScript that is neither test, benchmark nor fixture. */
export function isSource(path: string): boolean {
  return path.endsWith(".ts") && !NOT_SOURCE.test(path);
}

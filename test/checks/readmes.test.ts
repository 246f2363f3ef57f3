import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { PROJECT_ROOT } from "../support/project-root.js";
import { packageNames, projectFiles, textOf } from "../support/repository.js";

const MOST_LINES = 120;
const FOLDERS = ["codecs", "workers", "jobs", "test", "packages"].concat(
  packageNames().map((name) => `packages/${name}`),
);

describe.each(FOLDERS)("%s", (folder) => {
  it(`has a README of at most ${MOST_LINES} lines`, () => {
    expect(textOf(`${folder}/README.md`).trimEnd().split("\n").length).toBeLessThanOrEqual(
      MOST_LINES,
    );
  });
});

/** Paths in backticks that begin with a folder of the project. */
const PATH = /`((?:packages|codecs|workers|jobs|test|src)\/[\w./-]+)`/g;
const LINK = /\]\((?!https?:)([^)#]+)\)/g;

describe.each(projectFiles().filter((path) => path.endsWith(".md")))("%s", (file) => {
  it("names only files that are there", () => {
    const text = textOf(file).replaceAll(/^```[^]*?^```/gm, "");
    const named = [...text.matchAll(PATH), ...text.matchAll(LINK)].map(([, path]) => path!);
    const missing = named.filter(
      (path) =>
        !existsSync(join(PROJECT_ROOT, path)) &&
        !existsSync(join(PROJECT_ROOT, dirname(file), path)),
    );
    // But for what a reader is told to write himself, and patterns in capitals.
    expect(missing.filter((path) => !/^codecs\/my_\w+\.ts$|\/[A-Z\d]{3,}\b/.test(path))).toEqual(
      [],
    );
  });
});

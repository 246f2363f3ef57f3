import { describe, expect, it } from "vitest";
import { isSource, packageNames, projectFiles, textOf } from "../support/repository.js";

/** Lines of source that are not blank. Raise one only with a reason in the commit. */
const BUDGET: Readonly<Record<string, number>> = {
  "packages/core": 1_200,
  "packages/wire": 700,
  "packages/transport": 2_150,
  "packages/sgd": 1_500,
  "packages/data": 1_650,
  "packages/compute": 6_700,
  "packages/remote": 1_100,
  "packages/runtime": 3_950,
  "packages/harness": 5_450,
  "packages/cli": 4_950,
  "packages/tooling": 0,
  workers: 5,
  jobs: 5,
};

/** A codec that needs more is two codecs, or belongs into a package. */
const LINES_OF_ONE_CODEC = 250;

function lineCount(path: string): number {
  return textOf(path)
    .split("\n")
    .filter((line) => line.trim() !== "").length;
}

describe("the size budget", () => {
  it("covers every package", () => {
    const packages = Object.keys(BUDGET).filter((folder) => folder.startsWith("packages/"));
    expect(packages.sort()).toEqual(packageNames().map((name) => `packages/${name}`));
  });

  it.each(Object.entries(BUDGET))("of %s is kept: %i lines", (folder, budget) => {
    const lines = projectFiles(folder)
      .filter(isSource)
      .reduce((sum, path) => sum + lineCount(path), 0);
    expect(
      lines,
      `${folder}: expected at most ${budget} lines of source, got ${lines}; simplify it, or raise the budget in this file with a reason`,
    ).toBeLessThanOrEqual(budget);
  });

  it.each(projectFiles("codecs").filter(isSource))(
    `of %s is kept: ${LINES_OF_ONE_CODEC}`,
    (path) => {
      expect(lineCount(path)).toBeLessThanOrEqual(LINES_OF_ONE_CODEC);
    },
  );
});

import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import { projectFiles, textOf } from "../support/repository.js";

const FILES = projectFiles();
const TEXTS = FILES.filter((path) => /\.(ts|js|cjs|json|md)$|\/run$|^\.\w+$/.test(path));

const BANNED_NAMES =
  /^(utils?|helpers?|common|manager|base|misc|index2)$|-(utils?|helpers?|manager)$/;

/** Home directories and places of work: what is only on one machine. */
const MACHINE_PATH = new RegExp(`(?<![\\w.])/(${["home", "root", "Users", "work"].join("|")})/\\w`);

function linesWith(pattern: RegExp): string[] {
  return TEXTS.flatMap((path) =>
    textOf(path)
      .split("\n")
      .flatMap((line, index) =>
        pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [],
      ),
  );
}

describe("the house words", () => {
  it("look at files at all", () => {
    expect(TEXTS).toContain("packages/core/src/codec.ts");
    expect(TEXTS).toContain("README.md");
  });

  it("have no file that is named after nothing", () => {
    const words = FILES.filter((path) => path !== "packages/tooling/tsconfig.base.json").filter(
      (path) => BANNED_NAMES.test(basename(path).split(".")[0]!),
    );
    expect(words).toEqual([]);
  });

  it("name no place that is only on one machine", () => {
    expect(linesWith(MACHINE_PATH)).toEqual([]);
  });

  it("have no open task without an issue's number", () => {
    const word = ["TO", "DO"].join("");
    expect(
      linesWith(new RegExp(`\\b(${word}(?!\\(#\\d+\\))|${["FIX", "ME"].join("")})\\b`)),
    ).toEqual([]);
  });

  it("leave nothing in tmp_log but the rule that keeps it empty", () => {
    expect(textOf("tmp_log/.gitignore")).toBe("*\n!.gitignore\n");
  });
});

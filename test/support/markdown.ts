import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { PROJECT_ROOT } from "./project-root.js";
import { textOf } from "./repository.js";

/** A fenced code block. */
export interface Fence {
  readonly language: string;
  /** What follows the language: a file name, or how to run it. */
  readonly info: string;
  readonly code: string;
  /** Of its first line of code, from 1. */
  readonly line: number;
}

/** All fenced code blocks of a text. */
export function fencesOf(text: string): Fence[] {
  const fences: Fence[] = [];
  const lines = text.split("\n");
  for (let index = 0; index < lines.length; index++) {
    const [, language, info] = /^```(\w*) ?(.*)$/.exec(lines[index]!) ?? [];
    if (language === undefined || info === undefined) continue;
    const start = index + 1;
    const end = lines.indexOf("```", start);
    if (end < 0) throw new Error(`line ${start}: a code block without an end`);
    fences.push({ language, info, code: lines.slice(start, end).join("\n"), line: start + 1 });
    index = end;
  }
  return fences;
}

/** Expects the part of a file between its markers to be `text`; `npm run docs` (UPDATE_DOCS=1) writes it there. */
export function expectGenerated(path: string, name: string, text: string): void {
  const document = textOf(path);
  const [begin, end] = [`<!-- begin ${name} -->`, `<!-- end ${name} -->`];
  const [before, rest] = document.split(begin);
  const [inside, after] = (rest ?? "").split(end);
  if (before === undefined || inside === undefined || after === undefined)
    throw new Error(`${path}: expected ${begin} and ${end}`);
  if (process.env["UPDATE_DOCS"] === "1") {
    writeFileSync(join(PROJECT_ROOT, path), `${before}${begin}\n\n${text}\n\n${end}${after}`);
    return;
  }
  expect(inside.trim(), `${path} is not up to date; run \`npm run docs\``).toBe(text);
}

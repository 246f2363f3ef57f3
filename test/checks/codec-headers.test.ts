import { dirname, join } from "node:path/posix";
import { describe, expect, it } from "vitest";
import { isSource, projectFiles, textOf } from "../support/repository.js";

const SECTIONS = [
  "Algorithm",
  "Needs",
  "Sends",
  "State",
  "Error feedback",
  "Parameters",
  "Source",
] as const;

const FILES = projectFiles("codecs").filter(isSource);
/** Files right in `codecs/` hold codecs; folders hold what codecs are made of: compressors, topologies, aggregators. */
const CODEC_FILES = FILES.filter((file) => file.split("/").length === 2);

/** The doc comments right above the exported codecs of a file, by class. */
function headersOf(text: string): Map<string, string> {
  const headers = new Map<string, string>();
  for (const [, comment, name] of text.matchAll(
    /(\/\*\*(?:(?!\*\/)[^])*\*\/\n)?export class (\w+) extends \w+/g,
  ))
    headers.set(name!, comment ?? "");
  return headers;
}

function sectionsOf(header: string): string[] {
  return [...header.matchAll(/^ \* ([A-Z][a-z ]+?)(?::|$)/gm)]
    .map(([, section]) => section!)
    .filter((section) => (SECTIONS as readonly string[]).includes(section));
}

describe.each(CODEC_FILES)("%s", (file) => {
  const text = textOf(file);
  const headers = headersOf(text);

  it("holds a codec", () => {
    expect([...headers.keys()]).not.toEqual([]);
  });

  it("has one header with all sections in order", () => {
    const comments = [...text.matchAll(/\/\*(?:(?!\*\/)[^])*\*\//g)].map(([comment]) => comment);
    const sections = comments.map(sectionsOf).filter((found) => found.length > 1);
    expect(sections).toEqual([SECTIONS]);
  });

  it("says what each of its codecs does", () => {
    for (const [name, header] of headers) expect(header, name).toMatch(/^\/\*\*/);
  });
});

it.each(FILES)("%s imports nothing but @psgd/core and other files of codecs/", (file) => {
  const imports = [...textOf(file).matchAll(/\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g)];
  const foreign = imports.filter(
    ([, name]) => name !== "@psgd/core" && !join(dirname(file), name!).startsWith(`codecs/`),
  );
  expect(foreign.map(([, name]) => name)).toEqual([]);
});

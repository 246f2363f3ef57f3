import { readdir, stat } from "node:fs/promises";
import { basename, dirname, extname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { PsgdError, type CodecClass } from "@psgd/core";
import { isCodecClass, type CodecSource } from "@psgd/runtime";
import { bundleModule } from "./bundle.js";
import { didYouMean, nearMiss } from "./near-miss.js";

/** A codec found, bundled and loaded. */
export interface LoadedCodec {
  /** `FILE.CLASS` as it is named in results: file without folder and ending, class as it is spelt in the file. */
  readonly name: string;
  readonly codecClass: CodecClass;
  readonly source: CodecSource;
  /** All codecs of its file. */
  readonly exported: readonly ExportedCodec[];
}

interface ExportedCodec {
  /** Name of the export, by which a worker takes it from the module. */
  readonly key: string;
  /** What people call it: the same, or the class's own name where it is the default export. */
  readonly name: string;
  readonly codecClass: CodecClass;
}

const ENDINGS = [".ts", ".js", ".mts", ".mjs"];

/**
 * Finds a codec by `FILE.CLASS`: FILE is a path, with or without ending, or a file of a `codecs/` folder (of the
 * current directory, else of the project); CLASS may be left out if the file exports one codec besides those that it
 * declares as servers, and its capitals may be wrong, as in the seed's own example.
 *
 * @throws {PsgdError} CODEC_LOAD_FAILED
 */
export async function loadCodecFile(
  spec: string,
  loadModule: (source: string) => Promise<Readonly<Record<string, unknown>>>,
): Promise<LoadedCodec> {
  const { path, className } = await find(spec);
  const source = await bundleModule(path, "CODEC_LOAD_FAILED");
  const exported = codecsOf(await load(path, source, loadModule));
  const file = basename(path, extname(path));
  return loaded(file, source, exported, choose(spec, path, className, exported));
}

/**
 * The codec a class declares as its server, in the same bundle.
 * @throws {PsgdError} CODEC_LOAD_FAILED if the file does not export it
 */
export function serverOf(codec: LoadedCodec, server: CodecClass): LoadedCodec {
  const file = codec.name.slice(0, codec.name.lastIndexOf("."));
  const found = codec.exported.find(({ codecClass }) => codecClass === server);
  if (found !== undefined) return loaded(file, codec.source.source, codec.exported, found);
  throw new PsgdError(
    "CODEC_LOAD_FAILED",
    `server of codec ${codec.name}: expected an exported class, got ${server.name}, which ${file} does not export; add \`export { ${server.name} };\` to it`,
  );
}

function loaded(
  file: string,
  source: string,
  exported: readonly ExportedCodec[],
  { key, name, codecClass }: ExportedCodec,
): LoadedCodec {
  return { name: `${file}.${name}`, codecClass, source: { className: key, source }, exported };
}

function codecsOf(exports: Readonly<Record<string, unknown>>): readonly ExportedCodec[] {
  const found: ExportedCodec[] = [];
  // A class that is exported by name and as default is one class, and goes by its name.
  const named = Object.entries(exports).sort(
    ([a], [b]) => Number(a === "default") - Number(b === "default"),
  );
  for (const [key, value] of named) {
    if (!isCodecClass(value) || found.some(({ codecClass }) => codecClass === value)) continue;
    found.push({ key, name: key === "default" ? value.name : key, codecClass: value });
  }
  return found;
}

async function find(spec: string): Promise<{ path: string; className: string | undefined }> {
  const candidates: { path: string; className: string | undefined }[] = [];
  const dot = spec.lastIndexOf(".");
  const splits: { file: string; className: string | undefined }[] = [
    { file: spec, className: undefined },
  ];
  if (spec.trim() === "")
    throw new PsgdError(
      "CODEC_LOAD_FAILED",
      `codec: expected FILE.CLASS, got ${JSON.stringify(spec)}; give one, as in \`plain.Plain\``,
    );
  if (dot > 0 && !spec.slice(dot).includes("/"))
    splits.push({ file: spec.slice(0, dot), className: spec.slice(dot + 1) });
  for (const { file, className } of splits) {
    for (const directory of searched(file)) {
      const endings = ENDINGS.includes(extname(file)) ? ["", ...ENDINGS] : ENDINGS;
      for (const ending of endings)
        candidates.push({ path: join(directory, `${file}${ending}`), className });
    }
  }
  for (const candidate of candidates) {
    const isFile = await stat(candidate.path).then(
      (found) => found.isFile(),
      () => false,
    );
    if (isFile) return candidate;
  }
  const file = splits.at(-1)!.file;
  const places = [...new Set(searched(file).map((directory) => join(directory, `${file}.ts`)))];
  const near = nearMiss(basename(file), await codecFilesIn(places.map((place) => dirname(place))));
  throw new PsgdError(
    "CODEC_LOAD_FAILED",
    `codec: expected FILE.CLASS, got ${JSON.stringify(spec)}; looked for ${places.join(", ")} (or .js)${didYouMean(near)}`,
  );
}

/** Names, without ending, of the files in the directories that may hold a codec. */
async function codecFilesIn(directories: readonly string[]): Promise<readonly string[]> {
  const names = await Promise.all(directories.map((each) => readdir(each).catch(() => [])));
  return names
    .flat()
    .filter((name) => ENDINGS.includes(extname(name)) && !/\.(test|d)\.\w+$/.test(name))
    .map((name) => basename(name, extname(name)));
}

/** The project's own folder, wherever the command was started. */
const PROJECT = fileURLToPath(new URL("../../..", import.meta.url));

function searched(file: string): string[] {
  if (isAbsolute(file)) return ["/"];
  return [resolve("codecs"), resolve("."), join(PROJECT, "codecs")];
}

async function load(
  path: string,
  source: string,
  loadModule: (source: string) => Promise<Readonly<Record<string, unknown>>>,
): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await loadModule(source);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new PsgdError(
      "CODEC_LOAD_FAILED",
      `${path}: its code threw while it was loaded: ${message}`,
      { cause },
    );
  }
}

function choose(
  spec: string,
  path: string,
  className: string | undefined,
  exported: readonly ExportedCodec[],
): ExportedCodec {
  const candidates =
    className === undefined ? clientsAmong(exported) : withName(className, exported);
  const [only] = candidates;
  if (only !== undefined && candidates.length === 1) return only;
  const names = exported.map(({ name }) => name);
  const rule =
    className === undefined
      ? "one exported class that extends Codec"
      : `an exported class ${className} that extends Codec`;
  const remedy =
    className === undefined && names.length > 1
      ? `; name one: \`${basename(path, extname(path))}.${names[0]!}\``
      : didYouMean(nearMiss(className ?? "", names));
  throw new PsgdError(
    "CODEC_LOAD_FAILED",
    `codec ${spec}: expected ${rule}, got ${names.length === 0 ? "none" : names.join(", ")}; ${path}${remedy}`,
  );
}

/** Those that no other class of the file declares as its server. */
function clientsAmong(exported: readonly ExportedCodec[]): readonly ExportedCodec[] {
  const servers = new Set(exported.map(({ codecClass }) => codecClass.server));
  return exported.length === 1
    ? exported
    : exported.filter(({ codecClass }) => !servers.has(codecClass));
}

/** Spelt exactly so, else but for capitals. */
function withName(className: string, exported: readonly ExportedCodec[]): readonly ExportedCodec[] {
  const exact = exported.filter(({ name, key }) => name === className || key === className);
  if (exact.length > 0) return exact;
  return exported.filter(({ name }) => name.toLowerCase() === className.toLowerCase());
}

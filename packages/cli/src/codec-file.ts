import { access } from "node:fs/promises";
import { basename, extname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { PsgdError, type CodecClass } from "@psgd/core";
import { isCodecClass, type CodecSource } from "@psgd/runtime";
import { bundleModule } from "./bundle.js";

/** A codec found, bundled and loaded. */
export interface LoadedCodec {
  /** `FILE.CLASS` as it is named in results: file without folder and ending, class as it is spelt in the file. */
  readonly name: string;
  readonly codecClass: CodecClass;
  readonly source: CodecSource;
}

const ENDINGS = [".ts", ".js", ".mts", ".mjs"];

/**
 * Finds a codec by `FILE.CLASS`: FILE is a path, with or without ending, or a file of a `codecs/` folder (of the
 * current directory, else of the project); CLASS may be left out if the file exports one codec, and its capitals may
 * be wrong, as in the seed's own example.
 *
 * @throws {PsgdError} CODEC_LOAD_FAILED
 */
export async function loadCodecFile(
  spec: string,
  loadModule: (source: string) => Promise<Readonly<Record<string, unknown>>>,
): Promise<LoadedCodec> {
  const { path, className } = await find(spec);
  const source = await bundleModule(path, "CODEC_LOAD_FAILED");
  const exported = await load(path, source, loadModule);
  const codecs = Object.entries(exported).filter((entry): entry is [string, CodecClass] =>
    isCodecClass(entry[1]),
  );
  const [exportName, codecClass] = choose(spec, path, className, codecs);
  const file = basename(path, extname(path));
  return { name: `${file}.${exportName}`, codecClass, source: { className: exportName, source } };
}

/** The codec a class declares as its server, in the same bundle. */
export function serverOf(codec: LoadedCodec, exported: CodecClass): LoadedCodec {
  const file = codec.name.slice(0, codec.name.lastIndexOf("."));
  return {
    name: `${file}.${exported.name}`,
    codecClass: exported,
    source: { className: exported.name, source: codec.source.source },
  };
}

async function find(spec: string): Promise<{ path: string; className: string | undefined }> {
  const candidates: { path: string; className: string | undefined }[] = [];
  const dot = spec.lastIndexOf(".");
  const splits: { file: string; className: string | undefined }[] = [
    { file: spec, className: undefined },
  ];
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
    const isThere = await access(candidate.path).then(
      () => true,
      () => false,
    );
    if (isThere) return candidate;
  }
  const file = splits.at(-1)!.file;
  const places = searched(file).map((directory) => join(directory, `${file}.ts`));
  throw new PsgdError(
    "CODEC_LOAD_FAILED",
    `codec: expected FILE.CLASS, got ${JSON.stringify(spec)}; looked for ${[...new Set(places)].join(", ")} (or .js)`,
  );
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
  codecs: readonly [string, CodecClass][],
): [string, CodecClass] {
  const names = codecs.map(([name]) => name);
  const wanted = className?.toLowerCase();
  const exact = codecs.find(([name]) => name === className);
  if (exact !== undefined) return exact;
  const matching =
    wanted === undefined ? codecs : codecs.filter(([name]) => name.toLowerCase() === wanted);
  const [only] = matching;
  if (only !== undefined && matching.length === 1) return only;
  const rule =
    className === undefined
      ? "one exported class that extends Codec"
      : `an exported class ${className} that extends Codec`;
  throw new PsgdError(
    "CODEC_LOAD_FAILED",
    `codec ${spec}: expected ${rule}, got ${names.length === 0 ? "none" : names.join(", ")}; ${path}`,
  );
}

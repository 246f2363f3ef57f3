import {
  PsgdError,
  nodeName,
  toErrorRecord,
  type Codec,
  type CodecClass,
  type CodecContext,
} from "@psgd/core";
import type { CodecSource } from "../job.js";

export type LoadModule = (source: string) => Promise<Readonly<Record<string, unknown>>>;

/**
 * Loads a codec class from its bundle.
 * @throws {PsgdError} CODEC_LOAD_FAILED
 */
export async function loadCodecClass(
  codec: CodecSource,
  loadModule: LoadModule,
): Promise<CodecClass> {
  let loaded: Readonly<Record<string, unknown>>;
  try {
    loaded = await loadModule(codec.source);
  } catch (cause) {
    throw new PsgdError(
      "CODEC_LOAD_FAILED",
      `codec ${codec.className}: its module threw while loading: ${toErrorRecord(cause).message}`,
      { cause },
    );
  }
  const found = loaded[codec.className];
  if (isCodecClass(found)) return found;
  throw new PsgdError(
    "CODEC_LOAD_FAILED",
    `codec ${codec.className}: expected an exported class that extends Codec, got ${typeof found}; the module exports ${Object.keys(loaded).join(", ") || "nothing"}`,
  );
}

/** Whether a value is a codec class. By its shape: the bundle brings its own copy of the base class. */
export function isCodecClass(value: unknown): value is CodecClass {
  if (typeof value !== "function") return false;
  const prototype: unknown = value.prototype;
  if (typeof prototype !== "object" || prototype === null) return false;
  return ["updateBlocks", "receiveBlocks", "setResult", "takeResult"].every(
    (method) =>
      method in prototype && typeof (prototype as Record<string, unknown>)[method] === "function",
  );
}

/** @throws {PsgdError} CODEC_THREW if the constructor does */
export function constructCodec(codecClass: CodecClass, context: CodecContext): Codec {
  try {
    return new codecClass(context);
  } catch (cause) {
    throw new PsgdError(
      "CODEC_THREW",
      `constructor threw: ${toErrorRecord(cause).message}; codec ${codecClass.name}, ${nodeName(context.nodeId)}`,
      { cause, details: { node: context.nodeId } },
    );
  }
}

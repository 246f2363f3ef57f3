import { MAX_BIGINT_DIGITS, MAX_PACKED_BYTES } from "./limits.js";
import { Mark, unpackr } from "./mark.js";
import { checkMetadata } from "./metadata-check.js";
import { PREAMBLE_BYTES, alignUp, malformed, readPreamble } from "./preamble.js";
import { TENSOR_KIND_COUNT, elementBytes, viewOf } from "./tensor-kind.js";

/**
 * Unpacks what `pack` made. Typed arrays are views on `bytes` where these start at an 8-byte boundary, so the caller
 * hands them over for good; otherwise on a copy. Anything may come in: every limit is checked before memory is taken.
 * @throws {PsgdError} WIRE_MALFORMED, WIRE_VERSION
 */
export function unpack(bytes: Uint8Array): unknown {
  if (bytes.length > MAX_PACKED_BYTES) {
    throw malformed(`expected at most ${MAX_PACKED_BYTES} bytes, got ${bytes.length}`);
  }
  const metadataEnd = PREAMBLE_BYTES + readPreamble(bytes);
  const metadata = bytes.subarray(PREAMBLE_BYTES, metadataEnd);
  checkMetadata(metadata);
  let sealed: unknown;
  try {
    sealed = unpackr.unpack(metadata);
  } catch (error) {
    throw malformed("metadata cannot be read", error);
  }
  const opening = new Opening(bytes, metadataEnd);
  const value = opening.open(sealed);
  opening.finish();
  return value;
}

/** Puts the values back where marks stand, in the order of the packing. */
class Opening {
  readonly #bytes: Uint8Array;
  #aligned: Uint8Array | undefined;
  #end: number;

  constructor(bytes: Uint8Array, metadataEnd: number) {
    this.#bytes = bytes;
    this.#end = metadataEnd;
  }

  open(value: unknown): unknown {
    if (typeof value !== "object" || value === null) return value;
    if (value instanceof Mark) return this.#scalar(value);
    if (Array.isArray(value)) return this.#array(value);
    const fields = value as Record<string, unknown>;
    for (const key of Object.keys(fields)) fields[key] = this.open(fields[key]);
    return fields;
  }

  /** Every byte must have been part of something. */
  finish(): void {
    if (this.#end !== this.#bytes.length) {
      throw malformed(`expected ${this.#end} bytes, got ${this.#bytes.length}`);
    }
  }

  #array(items: unknown[]): unknown {
    const [mark] = items;
    const kind = mark instanceof Mark ? mark.kind : undefined;
    if (kind === "set") return new Set(items.slice(1).map((item) => this.open(item)));
    if (kind === "map") {
      if (items.length % 2 === 0) throw malformed("a map has a key without a value");
      const map = new Map<unknown, unknown>();
      for (let index = 1; index < items.length; index += 2) {
        // Keys are opened before values: the order in which they were packed.
        const key = this.open(items[index]);
        map.set(key, this.open(items[index + 1]));
      }
      return map;
    }
    for (let index = 0; index < items.length; index++) items[index] = this.open(items[index]);
    return items;
  }

  #scalar({ kind, payload }: Mark): unknown {
    switch (kind) {
      case "tensor":
        return this.#tensor(payload);
      case "date":
        if (payload.length !== 8) throw malformed("a date has 8 bytes");
        return new Date(new DataView(payload.buffer).getFloat64(0, true));
      case "bigint":
        return bigintOf(payload);
      case "negative-bigint":
        return -bigintOf(payload);
      case "negative-zero":
        return -0;
      case "map":
      case "set":
        throw malformed(`a ${kind} starts in the middle of something`);
    }
  }

  #tensor(payload: Uint8Array): unknown {
    if (payload.length !== 5) throw malformed("a typed array is described by 5 bytes");
    const kind = payload[0]!;
    const byteLength = new DataView(payload.buffer).getUint32(1, true);
    const offset = alignUp(this.#end);
    if (kind >= TENSOR_KIND_COUNT || byteLength % elementBytes(kind) !== 0) {
      throw malformed(`kind ${kind} with ${byteLength} bytes is no typed array`);
    }
    if (byteLength > this.#bytes.length - offset) {
      throw malformed(`expected ${byteLength} bytes of a typed array at ${offset}, got the end`);
    }
    this.#end = offset + byteLength;
    const { buffer, byteOffset } = this.#alignedBytes();
    return viewOf(kind, buffer as ArrayBuffer, byteOffset + offset, byteLength);
  }

  #alignedBytes(): Uint8Array {
    this.#aligned ??= this.#bytes.byteOffset % 8 === 0 ? this.#bytes : new Uint8Array(this.#bytes);
    return this.#aligned;
  }
}

function bigintOf(payload: Uint8Array): bigint {
  const digits = Buffer.from(payload).toString("latin1");
  if (payload.length > MAX_BIGINT_DIGITS || !/^[0-9a-f]+$/.test(digits)) {
    throw malformed("a bigint has hexadecimal digits");
  }
  return BigInt(`0x${digits}`);
}

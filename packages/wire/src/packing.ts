import { types } from "node:util";
import { PsgdError } from "@psgd/core";
import {
  MAX_BIGINT_DIGITS,
  MAX_DEPTH,
  MAX_METADATA_BYTES,
  MAX_PACKED_BYTES,
  MAX_VALUES,
} from "./limits.js";
import { Mark, packr } from "./mark.js";
import { PREAMBLE_BYTES, alignUp, writePreamble } from "./preamble.js";
import { ARRAY_BUFFER_KIND, kindOfTypedArray } from "./tensor-kind.js";

/**
 * Packs a value: numbers, strings, booleans, null, undefined, bigints, dates, typed arrays, `ArrayBuffer`s, and arrays,
 * plain objects, maps and sets of these. The bytes are the caller's own and start at an 8-byte boundary.
 * @throws {PsgdError} PAYLOAD_UNPACKABLE, with the path of the value at fault; PAYLOAD_TOO_LARGE
 */
export function pack(value: unknown): Uint8Array {
  const packing = new Packing(value);
  const bytes = uninitialized(packing.byteLength);
  packing.copyTo(bytes, 0);
  return bytes;
}

/** Bytes of any content, at an 8-byte boundary; whoever asks must write all of them. */
export function uninitialized(byteLength: number): Uint8Array<ArrayBuffer> {
  const { buffer } = Buffer.allocUnsafeSlow(byteLength);
  return new Uint8Array(buffer, 0, byteLength);
}

/** One stretch of the packed form: where it starts, and its bytes. Between stretches are zeros. */
interface Stretch {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * A value that is ready to be written, in pieces if need be: metadata is already encoded, typed arrays are still the
 * caller's, so write it before they change.
 */
export class Packing {
  /** Bytes of the packed form. */
  readonly byteLength: number;
  readonly #stretches: readonly Stretch[];

  /** @throws {PsgdError} PAYLOAD_UNPACKABLE, PAYLOAD_TOO_LARGE */
  constructor(value: unknown) {
    const sealing = new Sealing();
    const metadata = packr.pack(sealing.seal(value));
    if (metadata.length > MAX_METADATA_BYTES) {
      throw tooLarge(`${metadata.length} bytes outside of typed arrays`, MAX_METADATA_BYTES);
    }
    const preamble = new Uint8Array(PREAMBLE_BYTES);
    writePreamble(preamble, metadata.length);
    const stretches: Stretch[] = [
      { offset: 0, bytes: preamble },
      { offset: PREAMBLE_BYTES, bytes: metadata },
    ];
    let end = PREAMBLE_BYTES + metadata.length;
    for (const bytes of sealing.tensors) {
      const offset = alignUp(end);
      stretches.push({ offset, bytes });
      end = offset + bytes.length;
    }
    if (end > MAX_PACKED_BYTES) throw tooLarge(`${end} bytes`, MAX_PACKED_BYTES);
    this.byteLength = end;
    this.#stretches = stretches;
  }

  /** Fills `target` with the packed bytes from `begin` on. */
  copyTo(target: Uint8Array, begin: number): void {
    const end = begin + target.length;
    let written = begin;
    for (const { offset, bytes } of this.#stretches) {
      const from = Math.max(offset, begin);
      const to = Math.min(offset + bytes.length, end);
      if (to <= from) continue;
      if (from > written) target.fill(0, written - begin, from - begin);
      target.set(bytes.subarray(from - offset, to - offset), from - begin);
      written = to;
    }
    target.fill(0, written - begin);
  }
}

/** Turns a value into what MessagePack can say, with marks for the rest, and collects the typed arrays. */
class Sealing {
  readonly tensors: Uint8Array[] = [];
  readonly #path: (string | number)[] = [];
  readonly #ancestors: object[] = [];
  #valueCount = 0;

  seal(value: unknown): unknown {
    if (++this.#valueCount > MAX_VALUES) {
      throw tooLarge(`more than ${MAX_VALUES} values outside of typed arrays`, MAX_VALUES);
    }
    switch (typeof value) {
      case "boolean":
      case "undefined":
        return value;
      case "number":
        return Object.is(value, -0) ? new Mark("negative-zero") : value;
      case "string":
        return this.#checkedText(value);
      case "bigint":
        return this.#bigint(value);
      case "object":
        return value === null ? null : this.#object(value);
      case "function":
      case "symbol":
        throw this.#unpackable(`a ${typeof value}`);
    }
  }

  #object(value: object): unknown {
    if (ArrayBuffer.isView(value)) {
      const kind = kindOfTypedArray(value);
      if (kind === undefined) throw this.#unpackable(describe(value));
      return this.#tensor(kind, new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    }
    if (types.isArrayBuffer(value)) return this.#tensor(ARRAY_BUFFER_KIND, new Uint8Array(value));
    if (types.isDate(value)) {
      return new Mark("date", new Uint8Array(Float64Array.of(value.getTime()).buffer));
    }
    this.#enter(value);
    const sealed = this.#container(value);
    this.#ancestors.pop();
    return sealed;
  }

  #container(value: object): unknown {
    if (Array.isArray(value)) return this.#items(value, []);
    if (types.isMap(value)) return this.#items([...value].flat(), [new Mark("map")]);
    if (types.isSet(value)) return this.#items([...value], [new Mark("set")]);
    const prototype: unknown = Object.getPrototypeOf(value);
    // The prototype of a plain object, in whatever realm it was made, has none itself.
    if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
      throw this.#unpackable(describe(value));
    }
    if (Object.getOwnPropertySymbols(value).length > 0) {
      throw this.#unpackable("an object with a symbol as key");
    }
    const sealed: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      this.#path.push(key);
      if (key === "__proto__") throw this.#unpackable("a field of that name");
      sealed[this.#checkedText(key)] = this.seal((value as Record<string, unknown>)[key]);
      this.#path.pop();
    }
    return sealed;
  }

  #items(items: readonly unknown[], sealed: unknown[]): unknown[] {
    // Holes count too, hence not `map`.
    for (let index = 0; index < items.length; index++) {
      this.#path.push(index);
      sealed.push(this.seal(items[index]));
      this.#path.pop();
    }
    return sealed;
  }

  #enter(value: object): void {
    if (this.#ancestors.length >= MAX_DEPTH) {
      const what = this.#ancestors.includes(value) ? "a value that contains itself" : "more";
      throw this.#unpackable(what, `at most ${MAX_DEPTH} levels`);
    }
    this.#ancestors.push(value);
  }

  #tensor(kind: number, bytes: Uint8Array): Mark {
    if (bytes.length > MAX_PACKED_BYTES) throw tooLarge(`${bytes.length} bytes`, MAX_PACKED_BYTES);
    this.tensors.push(bytes);
    const payload = new Uint8Array(5);
    payload[0] = kind;
    new DataView(payload.buffer).setUint32(1, bytes.length, true);
    return new Mark("tensor", payload);
  }

  #bigint(value: bigint): Mark {
    const digits = (value < 0n ? -value : value).toString(16);
    if (digits.length > MAX_BIGINT_DIGITS) {
      throw tooLarge(`a bigint of ${digits.length} hexadecimal digits`, MAX_BIGINT_DIGITS);
    }
    return new Mark(value < 0n ? "negative-bigint" : "bigint", Buffer.from(digits, "latin1"));
  }

  #checkedText(text: string): string {
    // UTF-8 cannot say half of a surrogate pair; replacing it would change the value silently.
    if (/\p{Surrogate}/u.test(text)) throw this.#unpackable("a string with half a surrogate pair");
    return text;
  }

  #unpackable(got: string, rule = "a packable value"): PsgdError {
    const path = pathText(this.#path);
    return new PsgdError(
      "PAYLOAD_UNPACKABLE",
      `\`${path}\`: expected ${rule}, got ${got}; send numbers, strings, booleans, null, undefined, bigints, dates, ` +
        "typed arrays, and arrays, plain objects, maps and sets of these",
      { details: { path } },
    );
  }
}

/** `content[1].foo`: the field of an object at the top, or the whole called `content`. */
function pathText(path: readonly (string | number)[]): string {
  const [first, ...rest] = path;
  const start = typeof first === "string" ? first : "content";
  const steps = typeof first === "string" ? rest : path;
  return (
    start + steps.map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`)).join("")
  );
}

function describe(value: object): string {
  const name: unknown = (value as { constructor?: { name?: unknown } }).constructor?.name;
  return typeof name === "string" && name !== "" ? `an instance of ${name}` : "a class instance";
}

function tooLarge(got: string, limit: number): PsgdError {
  return new PsgdError(
    "PAYLOAD_TOO_LARGE",
    `packed value: expected at most ${limit}, got ${got}; send numbers as typed arrays, and large data in parts`,
  );
}

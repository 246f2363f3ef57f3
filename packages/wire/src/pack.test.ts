import { isPsgdError, seededRandom, type Random } from "@psgd/core";
import { Packr } from "msgpackr";
import { describe, expect, it } from "vitest";
import { Packing, pack, unpack } from "./index.js";

const TYPED_ARRAYS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
] as const;

/** A random packable value. */
function randomValue(random: Random, depth: number): unknown {
  const pick = <T>(items: readonly T[]): T => items[random.uint32() % items.length]!;
  const many = (): number[] => Array.from({ length: random.uint32() % 5 }, (_, index) => index);
  const text = (): string =>
    Array.from({ length: random.uint32() % 40 }, () =>
      String.fromCodePoint(
        pick([0, 65, 0x7f, 0xe9, 0x2028, 0x20ac, 0x1f600]) + (random.uint32() % 8),
      ),
    ).join("");
  const scalars = [
    () => null,
    () => undefined,
    () => random.float() < 0.5,
    () =>
      pick([0, -0, NaN, Infinity, -Infinity, 2 ** 31, 2 ** 32, -(2 ** 31) - 1, 2 ** 53, 5e-324]),
    () => random.normal() * 10 ** (random.uint32() % 30),
    () => (random.uint32() % 70_000) - 35_000,
    text,
    () => pick([0n, -1n, 2n ** 64n, -(2n ** 200n), BigInt(random.uint32())]),
    () => pick([new Date(random.uint32() * 1000), new Date(NaN)]),
    () => randomBytes(random, random.uint32() % 33).buffer,
    () => {
      // A window that starts anywhere in its buffer.
      const TypedArray = pick(TYPED_ARRAYS);
      const size = TypedArray.BYTES_PER_ELEMENT;
      const { buffer } = randomBytes(random, 12 * size);
      return new TypedArray(
        buffer as ArrayBuffer,
        size * (random.uint32() % 6),
        random.uint32() % 6,
      );
    },
  ];
  const containers = [
    () => many().map(() => randomValue(random, depth - 1)),
    () => Object.fromEntries(many().map(() => [text(), randomValue(random, depth - 1)])),
    () =>
      new Map(many().map(() => [randomValue(random, depth - 1), randomValue(random, depth - 1)])),
    () => new Set(many().map(() => randomValue(random, depth - 1))),
  ];
  return pick(depth > 0 ? [...scalars, ...containers, ...containers] : scalars)();
}

function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.uint32());
}

/** What `act` throws. */
function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("pack and unpack", () => {
  it("brings back every packable value", () => {
    for (let seed = 0; seed < 3000; seed++) {
      const value = randomValue(seededRandom(seed), 5);
      expect(unpack(pack(value)), `seed ${seed}`).toStrictEqual(value);
    }
  });

  it("brings back packed values that do not start at an aligned address", () => {
    const value = { tensor: Float64Array.of(1, 2), more: [BigInt64Array.of(-1n)] };
    const packed = pack(value);
    for (let shift = 0; shift < 8; shift++) {
      const moved = new Uint8Array(packed.length + shift);
      moved.set(packed, shift);
      expect(unpack(moved.subarray(shift))).toStrictEqual(value);
    }
  });

  it("yields typed arrays as views on aligned bytes, each at a multiple of eight", () => {
    const packed = pack([
      Uint8Array.of(1),
      Float64Array.of(2),
      Uint8Array.of(3),
      Float32Array.of(4),
    ]);
    const tensors = unpack(packed) as Uint8Array[];
    for (const tensor of tensors) {
      expect(tensor.buffer).toBe(packed.buffer);
      expect(tensor.byteOffset % 8).toBe(0);
    }
  });

  it("takes a copy of typed arrays", () => {
    const tensor = Float32Array.of(1, 2);
    const packed = pack(tensor);
    tensor.fill(0);
    expect(unpack(packed)).toStrictEqual(Float32Array.of(1, 2));
  });

  it("writes the same bytes in pieces of any size", () => {
    const value = [Uint8Array.of(1, 2, 3), "text", Float64Array.of(1, 2, 3), new Float32Array(0)];
    const whole = pack(value);
    for (let size = 1; size <= whole.length; size++) {
      const packing = new Packing(value);
      const pieces: number[] = [];
      for (let begin = 0; begin < packing.byteLength; begin += size) {
        const piece = new Uint8Array(Math.min(size, packing.byteLength - begin)).fill(255);
        packing.copyTo(piece, begin);
        pieces.push(...piece);
      }
      expect(pieces).toEqual([...whole]);
    }
  });

  it("leaves nothing of the process's memory between typed arrays", () => {
    const packed = pack([Uint8Array.of(255), Uint8Array.of(255)]);
    // The tensors are the last two stretches: one byte, seven zeros, one byte.
    expect([...packed.subarray(-9)]).toEqual([255, 0, 0, 0, 0, 0, 0, 0, 255]);
  });

  it("spends at most 64 bytes beside the elements of one tensor", () => {
    expect(pack([3, new Float32Array(118_282)]).length).toBeLessThanOrEqual(4 * 118_282 + 64);
  });

  it("keeps holes and fields that are undefined", () => {
    const value: unknown[] = [1];
    value[2] = { gone: undefined };
    expect(unpack(pack(value))).toStrictEqual([1, undefined, { gone: undefined }]);
  });

  it("keeps a field called toJSON", () => {
    expect(unpack(pack({ toJSON: 1 }))).toStrictEqual({ toJSON: 1 });
  });
});

describe("pack", () => {
  class Point {
    x = 1;
  }
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)]);

  it.each([
    ["a function", [1, { foo: () => 1 }], "content[1].foo", "a function"],
    ["a symbol", Symbol("x"), "content", "a symbol"],
    ["a class instance", { content: [0, { foo: new Point() }] }, "content[1].foo", "Point"],
    ["a promise", [Promise.resolve()], "content[0]", "Promise"],
    ["an error", { why: new Error("x") }, "why", "Error"],
    ["a DataView", [new DataView(new ArrayBuffer(8))], "content[0]", "DataView"],
    ["a cycle", [cycle], "content[0].self", "contains itself"],
    ["65 levels", deep(65), "content[0]", "more"],
    ["__proto__", [JSON.parse('{"__proto__": 1}')], "content[0].__proto__", "field"],
    ["a symbol key", { a: { [Symbol("s")]: 1 } }, "a", "symbol"],
    ["half a surrogate pair", { name: "\ud800" }, "name", "surrogate"],
  ])("refuses %s and says where it is", (_name, value, path, got) => {
    const error = thrownBy(() => pack(value));
    expect(isPsgdError(error, "PAYLOAD_UNPACKABLE")).toBe(true);
    expect((error as Error).message).toContain(`\`${path}`);
    expect((error as Error).message).toContain(got);
  });

  it("accepts 64 levels", () => {
    expect(unpack(pack(deep(64)))).toStrictEqual(deep(64));
  });

  it("refuses a value that repeats itself into billions", () => {
    let value: unknown = 1;
    for (let level = 0; level < 40; level++) value = [value, value];
    expect(
      isPsgdError(
        thrownBy(() => pack(value)),
        "PAYLOAD_TOO_LARGE",
      ),
    ).toBe(true);
  });
});

describe("unpack", () => {
  const metadata = (bytes: readonly number[]): Uint8Array => {
    const packed = new Uint8Array(8 + bytes.length);
    packed.set([0x50, 1]);
    new DataView(packed.buffer).setUint32(4, bytes.length, true);
    packed.set(bytes, 8);
    return packed;
  };
  const key = (text: string): number[] => [0xa0 + text.length, ...Buffer.from(text)];
  const records = [...new Packr({ useRecords: true }).pack({ a: 1 })];

  it.each([
    ["nothing", new Uint8Array(0)],
    ["no metadata", metadata([])],
    ["msgpackr's record extension", metadata(records)],
    ["the reserved byte", metadata([0xc1])],
    ["trailing bytes in the metadata", metadata([1, 1])],
    ["trailing bytes after everything", Uint8Array.of(...metadata([1]), 0)],
    ["a field __proto__", metadata([0x81, ...key("__proto__"), 0x80])],
    ["a key that is no text", metadata([0x81, 1, 1])],
    ["a list longer than the bytes", metadata([0xdd, 0xff, 0xff, 0xff, 0xff])],
    ["an object longer than the bytes", metadata([0xdf, 0xff, 0xff, 0xff, 0xff])],
    ["a text longer than the bytes", metadata([0xdb, 0xff, 0xff, 0xff, 0xff, 0x41])],
    ["text that is not UTF-8", metadata([0xa1, 0xff])],
    ["a million nested lists", metadata(new Array<number>(1_000_000).fill(0x91))],
    ["65 levels", metadata([...new Array<number>(65).fill(0x91), 1])],
    ["an extension for buffers", metadata([0xd4, 0x74, 0])],
    ["a timestamp", metadata([0xd6, 0xff, 0, 0, 0, 0])],
    ["a mark of unknown kind", metadata([0xd4, 1, 99])],
    ["a map mark outside of a list", metadata([0xd4, 1, 1])],
    ["a map mark in the middle", metadata([0x92, 1, 0xd4, 1, 1])],
    ["a map with half an entry", metadata([0x92, 0xd4, 1, 1, 5])],
    ["a date of one byte", metadata([0xd5, 1, 3, 0])],
    ["a bigint without digits", metadata([0xd4, 1, 4])],
    ["a bigint in words", metadata([0xd5, 1, 4, 0x7a])],
    ["a tensor of unknown kind", metadata([0xc7, 6, 1, 0, 77, 0, 0, 0, 0])],
    ["a tensor with half an element", metadata([0xc7, 6, 1, 0, 8, 3, 0, 0, 0])],
    ["a tensor of 4 GB that is not there", metadata([0xc7, 6, 1, 0, 8, 252, 255, 255, 255])],
  ])("refuses %s", (_name, bytes) => {
    expect(
      isPsgdError(
        thrownBy(() => unpack(bytes)),
        "WIRE_MALFORMED",
      ),
    ).toBe(true);
  });

  it("refuses another version, naming both", () => {
    const packed = pack(1);
    packed[1] = 7;
    const error = thrownBy(() => unpack(packed));
    expect(isPsgdError(error, "WIRE_VERSION")).toBe(true);
    expect((error as Error).message).toMatch(/expected version 1, got 7/);
  });

  it("throws nothing but its own errors on random bytes, cut ends and flipped bits", () => {
    for (let seed = 0; seed < 4000; seed++) {
      const random = seededRandom(seed);
      let bytes = pack(randomValue(random, 4));
      const way = random.uint32() % 3;
      if (way === 0) bytes = metadata([...randomBytes(random, random.uint32() % 64)]);
      if (way === 1) bytes = bytes.slice(0, random.uint32() % bytes.length);
      for (let flips = way === 2 ? 1 + (random.uint32() % 8) : 0; flips > 0; flips--) {
        bytes[random.uint32() % bytes.length]! ^= 1 << (random.uint32() % 8);
      }
      const error = thrownBy(() => unpack(bytes));
      expect(error === undefined || isPsgdError(error), `seed ${seed}: ${String(error)}`).toBe(
        true,
      );
    }
  });

  it("leaves the prototype of all objects alone", () => {
    for (const spelling of ["__proto__", "constructor", "prototype"]) {
      thrownBy(() => unpack(metadata([0x81, ...key(spelling), 0x81, ...key("bad"), 1])));
    }
    expect(({} as Record<string, unknown>)["bad"]).toBeUndefined();
  });
});

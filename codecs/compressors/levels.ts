import type { Random } from "@psgd/core";
import { eachChunk, kernels, load, memory } from "./kernels.js";

/** Values as whole levels of a norm that a bucket of them shares: −s … s, written as 0 … 2s. */
export interface LevelsOptions {
  /** Of each code: 2, 4 or 8. */
  readonly bits: number;
  /** s, at most 2^(bits − 1) − 1. */
  readonly levels: number;
  /** Values that share a norm: a power of two from 16 to 16384. */
  readonly bucket: number;
}

/** A packet that is filled through two views: norms, then codes, the first value in the lowest bits. */
export interface LevelsPacket {
  readonly bytes: Uint8Array;
  readonly norms: Float32Array;
  readonly codes: Uint8Array;
}

/** Room for 4⌈d / bucket⌉ + ⌈d · bits / 8⌉ bytes. */
export function levelsPacket(count: number, { bits, bucket }: LevelsOptions): LevelsPacket {
  const normCount = Math.ceil(count / bucket);
  const bytes = new Uint8Array(4 * normCount + Math.ceil((count * bits) / 8));
  const norms = new Float32Array(bytes.buffer, 0, normCount);
  return { bytes, norms, codes: bytes.subarray(norms.byteLength) };
}

/**
 * Rounds each value to the nearest level, or with a source of randomness to one of the two next to it, so that it is
 * right on average.
 *
 * @param given - the norms; or how to find them
 * @param packet - filled
 */
export function encodeLevels(
  values: Readonly<Float32Array>,
  given: "largest" | "length" | "norms",
  { bits, levels, bucket }: LevelsOptions,
  random: Random | undefined,
  { norms, codes }: Omit<LevelsPacket, "bytes">,
): void {
  if (random !== undefined) seedFrom(random);
  eachChunk(0, values.length, (start, end) => {
    const count = end - start;
    const ofChunk = norms.subarray(start / bucket, Math.ceil(end / bucket));
    load(values, start, end);
    if (given === "norms") memory.norms.set(ofChunk);
    else kernels.norms(count, bucket, given === "largest");
    ofChunk.set(memory.norms.subarray(0, ofChunk.length));
    kernels.encode(count, bucket, levels, bits, random !== undefined);
    const at = (start * bits) / 8;
    codes.set(memory.codes.subarray(0, Math.ceil((count * bits) / 8)), at);
  });
  clearAfter(codes, values.length * bits);
}

/** Fills `values` with what codes stand for. */
export function decodeLevels(
  codes: Uint8Array,
  norms: Float32Array,
  { bits, levels, bucket }: LevelsOptions,
  values: Float32Array,
): void {
  eachChunk(0, values.length, (start, end) => {
    const count = end - start;
    memory.norms.set(norms.subarray(start / bucket, Math.ceil(end / bucket)));
    memory.codes.set(codes.subarray((start * bits) / 8, Math.ceil((end * bits) / 8)));
    kernels.decode(count, bucket, levels, bits);
    values.set(memory.values.subarray(0, count), start);
  });
}

/** Eight generators that differ, none of them at 0. */
function seedFrom(random: Random): void {
  const seeds = new Uint32Array(memory.codes.buffer, memory.codes.byteOffset, 8);
  for (let i = 0; i < 8; i++) seeds[i] = random.uint32() | 1;
  kernels.seed();
}

/** Padding to a whole group is not part of what is sent. */
function clearAfter(codes: Uint8Array, bitCount: number): void {
  const used = bitCount & 7;
  if (used !== 0) codes[codes.length - 1] &= 2 ** used - 1;
}

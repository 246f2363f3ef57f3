import { KERNELS_MODULE } from "./kernels-module.js";

/** What `assembly/` exports. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly VALUES: { readonly value: number };
  readonly NORMS: { readonly value: number };
  readonly CODES: { readonly value: number };
  readonly POSITIONS: { readonly value: number };
  readonly toHalves: (count: number) => void;
  readonly fromHalves: (count: number) => void;
  readonly toUpperHalves: (count: number) => void;
  readonly fromUpperHalves: (count: number) => void;
  norms(count: number, bucket: number, isLargest: boolean): void;
  sumOfMagnitudes(count: number): number;
  packSigns(count: number): void;
  unpackSigns(count: number, scale: number): void;
  seed(): void;
  encode(count: number, bucket: number, levels: number, bits: number, isRandom: boolean): void;
  decode(count: number, bucket: number, levels: number, bits: number): void;
  pickAbove(count: number, threshold: number): number;
}

/** The part of the global object that the language's own type library leaves to browsers. */
declare const WebAssembly: {
  readonly Module: new (binary: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** Values that are worked on at a time: few enough to stay in the processor's caches. */
const CHUNK = 16384;

const binary = Uint8Array.from(atob(KERNELS_MODULE), (character) => character.charCodeAt(0));

/** The compiled loops; they share `memory` below, so a result is to be taken before the next call. */
export const kernels = new WebAssembly.Instance(new WebAssembly.Module(binary)).exports as Exports;

const { buffer } = kernels.memory;

/** Where the loops find values, norms and codes, and leave them. */
export const memory = {
  values: new Float32Array(buffer, kernels.VALUES.value, CHUNK),
  norms: new Float32Array(buffer, kernels.NORMS.value, CHUNK / 16),
  codes: new Uint8Array(buffer, kernels.CODES.value, 2 * CHUNK),
  positions: new Uint32Array(buffer, kernels.POSITIONS.value, CHUNK),
};

/** Puts some values into memory, and zeros after them up to a whole group of 16. */
export function load(values: Readonly<Float32Array>, start: number, end: number): void {
  memory.values.set(values.subarray(start, end));
  const count = end - start;
  memory.values.fill(0, count, (count + 15) & ~15);
}

/** Calls `work` for each run of at most `CHUNK` values from `start` to `end`. */
export function eachChunk(
  start: number,
  end: number,
  work: (start: number, end: number) => void,
): void {
  for (let from = start; from < end; from += CHUNK) work(from, Math.min(from + CHUNK, end));
}

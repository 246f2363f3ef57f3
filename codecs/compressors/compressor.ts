import { PsgdError, type Random } from "@psgd/core";

/** A run of values that belong together: a tensor, or all that a sparsifier has picked. */
export interface Segment {
  readonly offset: number;
  readonly size: number;
}

/** Writes each value in fewer bits. A pure value: what chance it needs it is given. */
export interface Quantizer {
  readonly kind: "quantizer";
  readonly name: string;
  /**
   * @param values - not changed, not kept; at least one, all finite
   * @param segments - where each tensor lies in `values`, in order and without gaps
   * @returns bytes that are the caller's
   */
  encode(values: Readonly<Float32Array>, segments: readonly Segment[], random: Random): Uint8Array;
  /**
   * @param bytes - what `encode` returned for as many values in such segments, or what a faulty node made up
   * @param values - filled
   * @throws {PsgdError} WIRE_MALFORMED if no `encode` returns such bytes
   */
  decode(bytes: Uint8Array, segments: readonly Segment[], values: Float32Array): void;
}

/** Picks the values that are sent at all. A pure value, too. */
export interface Sparsifier {
  readonly kind: "sparsifier";
  readonly name: string;
  /** @returns the positions of the values to send, ascending, at least one */
  pick(values: Readonly<Float32Array>, random: Random): Uint32Array;
}

/** @throws {PsgdError} WIRE_MALFORMED unless there are as many bytes as there should be */
export function requireBytes(bytes: Uint8Array, expected: number, name: string): void {
  if (bytes.length === expected) return;
  throw new PsgdError(
    "WIRE_MALFORMED",
    `bytes of ${name}: expected ${expected}, got ${bytes.length}`,
  );
}

/** @throws {PsgdError} SETTINGS_INVALID unless a value can be written in so many bits */
export function requireBits(bits: number, name: string): void {
  if (bits === 2 || bits === 4 || bits === 8) return;
  throw new PsgdError("SETTINGS_INVALID", `bits of ${name}: expected 2, 4 or 8, got ${bits}`);
}

/** Numbers at the beginning of a packet, as they lie in memory; `scales` must be `count` finite ones. */
export function readScales(bytes: Uint8Array, count: number, name: string): Float32Array {
  const scales = new Float32Array(bytes.slice(0, 4 * count).buffer);
  for (const scale of scales) {
    if (!Number.isFinite(scale))
      throw new PsgdError(
        "WIRE_MALFORMED",
        `scale of ${name}: expected a finite number, got ${scale}`,
      );
  }
  return scales;
}

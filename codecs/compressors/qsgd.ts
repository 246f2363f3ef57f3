import { PsgdError } from "@psgd/core";
import { BitReader, BitWriter } from "./bits.js";
import { readScales, requireBits, requireBytes, type Quantizer } from "./compressor.js";
import { readElias, writeElias } from "./elias.js";
import { decodeLevels, encodeLevels, levelsPacket } from "./levels.js";
import { joined } from "./linear.js";

/** How QSGD is set. */
export interface QsgdOptions {
  /** 2, 4 or 8: s = 2^(bits − 1) − 1 levels besides 0, and a sign. */
  readonly bits: number;
  /** Values that share a norm: a power of two from 16 to 16384. @defaultValue 512 */
  readonly bucket?: number;
  /**
   * What a bucket is measured by: the largest magnitude (the variant for deep learning, section 5 of the paper) or the
   * Euclidean norm, which the paper's bounds are for. @defaultValue "max"
   */
  readonly norm?: "max" | "l2";
  /** `bits` for each value, or Elias codes of the levels that are not 0 and of the way to them. @defaultValue "fixed" */
  readonly coding?: "fixed" | "elias";
}

/**
 * Stochastic rounding to s levels: x ↦ ‖v‖ · sign(x) · ξ, ξ one of the two multiples of 1/s around |x| / ‖v‖, with the
 * chances that make it right on average (Alistarh et al. 2017, arXiv 1610.02132, section 3.1). Unbiased.
 * 4⌈d / bucket⌉ + ⌈d · bits / 8⌉ bytes with fixed coding.
 */
export function qsgd(options: QsgdOptions): Quantizer {
  const { bits, bucket = 512, norm = "max", coding = "fixed" } = options;
  const name = `qsgd(${bits})`;
  requireBits(bits, name);
  if (!Number.isInteger(Math.log2(bucket)) || bucket < 16 || bucket > 16384) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `bucket of ${name}: expected a power of two from 16 to 16384, got ${bucket}`,
    );
  }
  const levels = 2 ** (bits - 1) - 1;
  const isFixed = coding === "fixed";
  // Elias codes are made from levels of a byte each.
  const layout = { bits: isFixed ? bits : 8, levels, bucket };
  return {
    kind: "quantizer",
    name,
    encode(values, _segments, random) {
      const packet = levelsPacket(values.length, layout);
      encodeLevels(values, norm === "max" ? "largest" : "length", layout, random, packet);
      if (isFixed) return packet.bytes;
      return joined(packet.norms, writeLevels(packet.codes, levels));
    },
    decode(bytes, _segments, values) {
      const norms = 4 * Math.ceil(values.length / bucket);
      const fixed = norms + Math.ceil((values.length * bits) / 8);
      requireBytes(bytes, isFixed ? fixed : Math.max(norms, bytes.length), name);
      const packed = bytes.subarray(norms);
      const codes = isFixed ? packed : readLevels(packed, levels, values.length);
      decodeLevels(codes, readScales(bytes, norms / 4, name), layout, values);
    },
  };
}

/** How many are not 0; then for each the way from the one before, its sign and its size. */
function writeLevels(codes: Uint8Array, levels: number): Uint8Array {
  const out = new BitWriter(codes.length / 2);
  let count = 0;
  for (const code of codes) if (code !== levels) count++;
  writeElias(count + 1, out);
  let last = -1;
  for (let i = 0; i < codes.length; i++) {
    const level = codes[i] - levels;
    if (level === 0) continue;
    writeElias(i - last, out);
    out.write(level < 0 ? 1 : 0, 1);
    writeElias(Math.abs(level), out);
    last = i;
  }
  return out.finish();
}

function readLevels(bytes: Uint8Array, levels: number, size: number): Uint8Array {
  const bits = new BitReader(bytes);
  const codes = new Uint8Array(size).fill(levels);
  const count = readElias(bits) - 1;
  let position = -1;
  for (let i = 0; i < count; i++) {
    position += readElias(bits);
    const isNegative = bits.read(1) === 1;
    const level = readElias(bits);
    if (position >= size || level > levels) {
      throw new PsgdError(
        "WIRE_MALFORMED",
        `Elias codes: expected levels to ${levels} of ${size} values, got level ${level} at ${position}`,
      );
    }
    codes[position] = levels + (isNegative ? -level : level);
  }
  bits.requireEnd();
  return codes;
}

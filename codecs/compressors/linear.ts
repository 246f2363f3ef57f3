import { readScales, requireBits, requireBytes, type Quantizer } from "./compressor.js";
import { decodeLevels, encodeLevels, levelsPacket } from "./levels.js";

const BUCKET = 512;

/**
 * Whole multiples of a step: q = round(x / s), s = max|x| / (2^(bits − 1) − 1) over each 512 values; with 8 bits this is
 * the usual int8. Rounded to nearest, so biased: wants error feedback. 4⌈d / 512⌉ + ⌈d · bits / 8⌉ bytes.
 *
 * @param bits - 2, 4 or 8 per value
 */
export function quantize(bits: number): Quantizer {
  const name = `quantize(${bits})`;
  requireBits(bits, name);
  const options = { bits, levels: 2 ** (bits - 1) - 1, bucket: BUCKET };
  return {
    kind: "quantizer",
    name,
    encode(values) {
      const packet = levelsPacket(values.length, options);
      encodeLevels(values, "largest", options, undefined, packet);
      return packet.bytes;
    },
    decode(bytes, _segments, values) {
      const norms = Math.ceil(values.length / BUCKET);
      requireBytes(bytes, 4 * norms + Math.ceil((values.length * bits) / 8), name);
      decodeLevels(bytes.subarray(4 * norms), readScales(bytes, norms, name), options, values);
    },
  };
}

/** Scales, then codes. */
export function joined(scales: Float32Array, codes: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(scales.byteLength + codes.length);
  bytes.set(new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength));
  bytes.set(codes, scales.byteLength);
  return bytes;
}

import { readScales, requireBytes, type Quantizer } from "./compressor.js";
import { decodeLevels, encodeLevels } from "./levels.js";
import { joined } from "./linear.js";

/** 3⁵ = 243 fits into a byte: 1.6 bits for each value. */
const PER_BYTE = 5;
const LEVELS = { bits: 8, levels: 1, bucket: 16384 };

/**
 * TernGrad: values of each tensor, clipped to 2.5 standard deviations, become −s, 0 or s, s the largest magnitude left, at
 * random so that they are right on average (Wen et al. 2017, arXiv 1705.07878, sections 3.1 and 3.3). Unbiased but for
 * the clipping. 4 bytes per tensor and ⌈d / 5⌉.
 *
 * @param clip - in standard deviations; 0 for none
 */
export function ternary(clip = 2.5): Quantizer {
  const name = "ternary";
  return {
    kind: "quantizer",
    name,
    encode(values, segments, random) {
      const scales = new Float32Array(segments.length);
      const trits = new Uint8Array(values.length);
      for (const [index, { offset, size }] of segments.entries()) {
        const tensor = values.subarray(offset, offset + size);
        scales[index] = scaleOf(tensor, clip);
        // Whatever lies beyond the scale is written as the scale: clipping needs no step of its own.
        const norms = normsOf(size, scales[index]);
        const codes = trits.subarray(offset, offset + size);
        encodeLevels(tensor, "norms", LEVELS, random, { norms, codes });
      }
      return joined(scales, packTrits(trits));
    },
    decode(bytes, segments, values) {
      const scaleBytes = 4 * segments.length;
      requireBytes(bytes, scaleBytes + Math.ceil(values.length / PER_BYTE), name);
      const scales = readScales(bytes, segments.length, name);
      const packed = bytes.subarray(scaleBytes);
      const trits = unpackTrits(packed, values.length);
      for (const [index, { offset, size }] of segments.entries()) {
        const norms = normsOf(size, scales[index]);
        const tensor = values.subarray(offset, offset + size);
        decodeLevels(trits.subarray(offset, offset + size), norms, LEVELS, tensor);
      }
    },
  };
}

function packTrits(trits: Uint8Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(trits.length / PER_BYTE));
  // Past the end there is nothing, which counts as 0.
  const whole = Math.floor(trits.length / PER_BYTE);
  for (let byte = 0, i = 0; byte < whole; byte++, i += PER_BYTE)
    packed[byte] =
      trits[i] + 3 * trits[i + 1] + 9 * trits[i + 2] + 27 * trits[i + 3] + 81 * trits[i + 4];
  for (let i = whole * PER_BYTE; i < trits.length; i++)
    packed[whole] += trits[i] * 3 ** (i % PER_BYTE);
  return packed;
}

/** The five digits of each byte, side by side. */
const DIGITS = Uint8Array.from(
  { length: 256 * PER_BYTE },
  (_, i) => Math.floor(Math.floor(i / PER_BYTE) / 3 ** (i % PER_BYTE)) % 3,
);

function unpackTrits(packed: Uint8Array, count: number): Uint8Array {
  const trits = new Uint8Array(packed.length * PER_BYTE);
  for (let byte = 0, i = 0; byte < packed.length; byte++, i += PER_BYTE) {
    const at = packed[byte] * PER_BYTE;
    trits[i] = DIGITS[at];
    trits[i + 1] = DIGITS[at + 1];
    trits[i + 2] = DIGITS[at + 2];
    trits[i + 3] = DIGITS[at + 3];
    trits[i + 4] = DIGITS[at + 4];
  }
  return trits.subarray(0, count);
}

/** A tensor has one scale, however many buckets. */
function normsOf(count: number, scale: number): Float32Array {
  return new Float32Array(Math.ceil(count / LEVELS.bucket)).fill(scale);
}

/** The largest magnitude, but for what lies more than `clip` standard deviations away. */
function scaleOf(values: Readonly<Float32Array>, clip: number): number {
  let sum = 0;
  let squares = 0;
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    sum += value;
    squares += value * value;
    largest = Math.max(largest, Math.abs(value));
  }
  const mean = sum / values.length;
  const bound = clip * Math.sqrt(Math.max(0, squares / values.length - mean * mean));
  // Equal values have no deviation, and nothing that lies outside.
  return bound === 0 ? largest : Math.min(bound, largest);
}

import { readScales, requireBytes, type Quantizer } from "./compressor.js";
import { encodeLevels } from "./levels.js";
import { joined } from "./linear.js";

/** 3⁵ = 243 fits into a byte: 1.6 bits for each value. */
const PER_BYTE = 5;

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
        const tensor = clipped(values.subarray(offset, offset + size), clip);
        for (const value of tensor) scales[index] = Math.max(scales[index], Math.abs(value));
        const norms = new Float32Array(Math.ceil(size / 16384)).fill(scales[index]);
        const options = { bits: 8, levels: 1, bucket: 16384 };
        trits.set(encodeLevels(tensor, norms, "norms", options, random), offset);
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
        const scale = scales[index];
        for (let i = offset; i < offset + size; i++) values[i] = (trits[i] - 1) * scale;
      }
    },
  };
}

function packTrits(trits: Uint8Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(trits.length / PER_BYTE));
  let byte = 0;
  let power = 1;
  for (const trit of trits) {
    packed[byte] += trit * power;
    power *= 3;
    if (power < 3 ** PER_BYTE) continue;
    byte++;
    power = 1;
  }
  return packed;
}

/** The five digits of each byte, side by side. */
const DIGITS = Uint8Array.from(
  { length: 256 * PER_BYTE },
  (_, i) => Math.floor(Math.floor(i / PER_BYTE) / 3 ** (i % PER_BYTE)) % 3,
);

function unpackTrits(packed: Uint8Array, count: number): Uint8Array {
  const trits = new Uint8Array(packed.length * PER_BYTE);
  for (let byte = 0; byte < packed.length; byte++)
    for (let digit = 0; digit < PER_BYTE; digit++)
      trits[byte * PER_BYTE + digit] = DIGITS[packed[byte] * PER_BYTE + digit];
  return trits.subarray(0, count);
}

function clipped(values: Readonly<Float32Array>, clip: number): Float32Array {
  if (clip === 0) return values;
  let sum = 0;
  let squares = 0;
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  const bound = clip * Math.sqrt(Math.max(0, squares / values.length - mean * mean));
  // Equal values have no deviation, and nothing that lies outside.
  if (bound === 0) return values;
  const within = new Float32Array(values.length);
  for (let i = 0; i < within.length; i++) within[i] = Math.min(bound, Math.max(-bound, values[i]));
  return within;
}

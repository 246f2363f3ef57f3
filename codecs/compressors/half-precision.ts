import { requireBytes, type Quantizer } from "./compressor.js";

/** The bits of numbers in single precision. */
function bitsOf(values: Readonly<Float32Array>): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/**
 * IEEE 754 binary16: 11 significant bits, magnitudes from 6e-8 to 65504; rounded to nearest, ties to even. Larger ones
 * become 65504 and not infinity, so that one large value does not end a job. 2d bytes.
 */
export function fp16(): Quantizer {
  const name = "fp16";
  return {
    kind: "quantizer",
    name,
    encode(values) {
      const bits = bitsOf(values);
      const halves = new Uint16Array(values.length);
      for (let i = 0; i < halves.length; i++) halves[i] = halfOf(bits[i]);
      return new Uint8Array(halves.buffer);
    },
    decode(bytes, _segments, values) {
      requireBytes(bytes, 2 * values.length, name);
      const halves = new Uint16Array(bytes.slice().buffer);
      const bits = bitsOf(values);
      for (let i = 0; i < halves.length; i++) bits[i] = singleOf(halves[i]);
    },
  };
}

const LARGEST_HALF = 0x7bff;
/** 2⁻¹⁴ and 2¹⁶ in single precision: where halves lose bits, and where they end. */
const SMALLEST_NORMAL = 0x38800000;
const TOO_LARGE = 0x47800000;

function halfOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= TOO_LARGE) return sign | LARGEST_HALF;
  if (magnitude >= SMALLEST_NORMAL) {
    // Half a unit less one, and one more if the last bit that stays is odd: ties go to even.
    const rounded = (magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
    return sign | Math.min(rounded, LARGEST_HALF);
  }
  const shift = 126 - (magnitude >>> 23);
  if (shift > 24) return sign;
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const odd = (significand >>> shift) & 1;
  return sign | ((significand + (1 << (shift - 1)) - 1 + odd) >>> shift);
}

function singleOf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const magnitude = half & 0x7fff;
  // Subnormal halves: their unit is 2⁻²⁴.
  if (magnitude < 0x400) {
    scratch[0] = magnitude * 2 ** -24;
    return sign | scratchBits[0];
  }
  // Infinity and NaN, which `encode` never makes, keep their meaning.
  if (magnitude >= 0x7c00) return sign | 0x7f800000 | ((magnitude & 0x3ff) << 13);
  return sign | ((magnitude << 13) + 0x38000000);
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** bfloat16: 8 significant bits and the range of single precision; to nearest, ties to even. 2d bytes. */
export function bf16(): Quantizer {
  const name = "bf16";
  return {
    kind: "quantizer",
    name,
    encode(values) {
      const bits = bitsOf(values);
      const halves = new Uint16Array(values.length);
      for (let i = 0; i < halves.length; i++) {
        const magnitude = bits[i] & 0x7fffffff;
        const rounded = (magnitude + 0x7fff + ((magnitude >>> 16) & 1)) >>> 16;
        halves[i] = ((bits[i] >>> 16) & 0x8000) | Math.min(rounded, 0x7f7f);
      }
      return new Uint8Array(halves.buffer);
    },
    decode(bytes, _segments, values) {
      requireBytes(bytes, 2 * values.length, name);
      const halves = new Uint16Array(bytes.slice().buffer);
      const bits = bitsOf(values);
      for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
    },
  };
}

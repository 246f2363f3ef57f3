import { magnitudeOf } from "./magnitude";
import { CODES, VALUES } from "./memory";

/** Halves of IEEE 754, to nearest, ties to even; what is too large, infinity and NaN become 65504. */
export function toHalves(count: i32): void {
  for (let i = 0; i < count; i += 16) {
    const at = VALUES + 4 * (i as usize);
    const to = CODES + 2 * (i as usize);
    v128.store(to, halves(v128.load(at), v128.load(at, 16)));
    v128.store(to, halves(v128.load(at, 32), v128.load(at, 48)), 16);
  }
}

function halves(a: v128, b: v128): v128 {
  return v128.or(i16x8.narrow_i32x4_s(halfOf(a), halfOf(b)), signsOf(a, b));
}

/**
 * A half of exponent e counts units of 2ᵉ⁻¹⁰, smaller ones than 2⁻¹⁴ those of e = −14. So do the lowest bits of a sum with
 * 2ᵉ⁺¹³, which the addition has rounded; its upper bits are e + 13.
 */
function halfOf(x: v128): v128 {
  const magnitude = i32x4.min_s(magnitudeOf(x), i32x4.splat(0x477fe000));
  const power = i32x4.max_s(v128.and(magnitude, i32x4.splat(0x7f800000)), i32x4.splat(0x38800000));
  const sum = f32x4.add(magnitude, i32x4.add(power, i32x4.splat(13 << 23)));
  // Lower half + 8 · upper half: the exponent to where halves have it. That of 2⁻¹ stands for −14, which is written as 0
  // and 1024 units.
  return i32x4.sub(i32x4.dot_i16x8_s(sum, i32x4.splat(0x80001)), i32x4.splat(126 << 10));
}

/** Signs, in the first of 16 bits: narrowing keeps them. */
function signsOf(a: v128, b: v128): v128 {
  return v128.and(i16x8.narrow_i32x4_s(a, b), i16x8.splat(-0x8000));
}

/** The values of halves. */
export function fromHalves(count: i32): void {
  for (let i = 0; i < count; i += 16) {
    const at = CODES + 2 * (i as usize);
    const to = VALUES + 4 * (i as usize);
    valuesOf(v128.load(at), to);
    valuesOf(v128.load(at, 16), to + 32);
  }
}

/** The way back: as many units above 2ᵉ⁺¹³ as there are, less 2ᵉ⁺¹³. */
function valuesOf(half: v128, to: usize): void {
  const zero = i32x4.splat(0);
  // e + 14, in place.
  const exponent = i16x8.sub_sat_u(v128.and(half, i16x8.splat(0x7c00)), i16x8.splat(0x0400));
  const units = i16x8.sub(v128.and(half, i16x8.splat(0x7fff)), exponent);
  const power = i16x8.add(i16x8.shr_u(exponent, 3), i16x8.splat(126 << 7));
  // Infinity and NaN, which are never made here, keep their meaning.
  const endless = v128.and(i16x8.eq(exponent, i16x8.splat(0x7800)), i16x8.splat(0x3800));
  const rest = v128.or(endless, v128.and(half, i16x8.splat(-0x8000)));
  const low = f32x4.sub(low32(units, power), low32(zero, power));
  const high = f32x4.sub(high32(units, power), high32(zero, power));
  v128.store(to, v128.or(low, low32(zero, rest)));
  v128.store(to, v128.or(high, high32(zero, rest)), 16);
}

/** The first four numbers of 32 bits that have such lower and upper halves. */
function low32(lower: v128, upper: v128): v128 {
  return v128.shuffle<i16>(lower, upper, 0, 8, 1, 9, 2, 10, 3, 11);
}

/** The last four. */
function high32(lower: v128, upper: v128): v128 {
  return v128.shuffle<i16>(lower, upper, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** The upper halves of values, to nearest, ties to even, and never to infinity. */
export function toUpperHalves(count: i32): void {
  for (let i = 0; i < count; i += 16) {
    const at = VALUES + 4 * (i as usize);
    const to = CODES + 2 * (i as usize);
    v128.store(to, upperHalves(v128.load(at), v128.load(at, 16)));
    v128.store(to, upperHalves(v128.load(at, 32), v128.load(at, 48)), 16);
  }
}

function upperHalves(a: v128, b: v128): v128 {
  const rounded = i16x8.narrow_i32x4_u(upperHalfOf(a), upperHalfOf(b));
  return v128.or(i16x8.min_u(rounded, i16x8.splat(0x7f7f)), signsOf(a, b));
}

function upperHalfOf(x: v128): v128 {
  const magnitude = magnitudeOf(x);
  // Half a unit less one, and one more if the last bit that stays is odd.
  const odd = v128.and(i32x4.shr_u(magnitude, 16), i32x4.splat(1));
  return i32x4.shr_u(i32x4.add(magnitude, i32x4.add(odd, i32x4.splat(0x7fff))), 16);
}

/** Values of which there are only upper halves. */
export function fromUpperHalves(count: i32): void {
  const zero = i32x4.splat(0);
  for (let i = 0; i < count; i += 8) {
    const halves = v128.load(CODES + 2 * (i as usize));
    const to = VALUES + 4 * (i as usize);
    v128.store(to, low32(zero, halves));
    v128.store(to, high32(zero, halves), 16);
  }
}

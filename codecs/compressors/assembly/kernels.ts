/*
 * The hot loops of the compressors, in AssemblyScript with 128-bit vectors: see `../kernels.ts` for what each does and
 * for the memory they share. Counts are padded with zeros to whole groups of 16 values.
 */

/** Values of one chunk, and where it lies; then norms, codes and positions. */
export const CHUNK: i32 = 16384;
export const VALUES: usize = 65536;
export const NORMS: usize = VALUES + 4 * 16384;
export const CODES: usize = NORMS + 4 * 1024;
export const POSITIONS: usize = CODES + 2 * 16384;

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

function magnitudeOf(x: v128): v128 {
  return v128.and(x, i32x4.splat(0x7fffffff));
}

/** The upper bits of numbers of 16 bits: narrowing keeps signs. */
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

/** Norm of each bucket: the largest magnitude, or the Euclidean norm. `bucket` is a multiple of 16. */
export function norms(count: i32, bucket: i32, isLargest: bool): void {
  for (let start = 0, index = 0; start < count; start += bucket, index++) {
    const at = VALUES + 4 * (start as usize);
    const end = VALUES + 4 * (min(start + bucket, count) as usize);
    const norm = isLargest ? largestMagnitude(at, end) : length(at, end);
    store<f32>(NORMS + 4 * (index as usize), norm);
  }
}

function largestMagnitude(at: usize, end: usize): f32 {
  // As numbers without a sign have the order of their bits.
  let a = i32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  for (; at < end; at += 64) {
    a = i32x4.max_s(a, magnitudeOf(v128.load(at)));
    b = i32x4.max_s(b, magnitudeOf(v128.load(at, 16)));
    c = i32x4.max_s(c, magnitudeOf(v128.load(at, 32)));
    d = i32x4.max_s(d, magnitudeOf(v128.load(at, 48)));
  }
  return lanesLargest(i32x4.max_s(i32x4.max_s(a, b), i32x4.max_s(c, d)));
}

function length(at: usize, end: usize): f32 {
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  for (; at < end; at += 32) {
    const x = v128.load(at);
    const y = v128.load(at, 16);
    a = f32x4.add(a, f32x4.mul(x, x));
    b = f32x4.add(b, f32x4.mul(y, y));
  }
  return sqrt<f32>(lanesSum(f32x4.add(a, b)));
}

/** Σ|x| over the chunk. */
export function sumOfMagnitudes(count: i32): f64 {
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  for (let i = 0; i < count; i += 4) {
    const x = f32x4.abs(v128.load(VALUES + 4 * (i as usize)));
    a = f64x2.add(a, f64x2.promote_low_f32x4(x));
    b = f64x2.add(b, f64x2.promote_low_f32x4(v128.shuffle<i32>(x, x, 2, 3, 2, 3)));
  }
  const sum = f64x2.add(a, b);
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

/** Bit i of the codes is the sign of value i. */
export function packSigns(count: i32): void {
  for (let i = 0; i < count; i += 16) {
    const at = VALUES + 4 * (i as usize);
    const low = i32x4.bitmask(v128.load(at)) | (i32x4.bitmask(v128.load(at, 16)) << 4);
    const high = i32x4.bitmask(v128.load(at, 32)) | (i32x4.bitmask(v128.load(at, 48)) << 4);
    store<u16>(CODES + ((i >> 3) as usize), low | (high << 8));
  }
}

/** Value i becomes `scale`, or its negative where bit i of the codes is set. */
export function unpackSigns(count: i32, scale: f32): void {
  const magnitude = f32x4.splat(scale);
  const places = i32x4(1, 2, 4, 8);
  for (let i = 0; i < count; i += 8) {
    const bits = i32x4.splat(load<u8>(CODES + ((i >> 3) as usize)));
    const low = i32x4.ne(v128.and(bits, places), i32x4.splat(0));
    const high = i32x4.ne(v128.and(bits, i32x4.shl(places, 4)), i32x4.splat(0));
    const at = VALUES + 4 * (i as usize);
    v128.store(at, v128.xor(magnitude, i32x4.shl(low, 31)));
    v128.store(at, v128.xor(magnitude, i32x4.shl(high, 31)), 16);
  }
}

/**
 * Eight generators side by side (Marsaglia 2003, xorshift with 13, 17, 5), in two vectors that need not wait for each
 * other. None may be at 0, where it would stay.
 */
let evenState: v128 = i32x4(1, 2, 3, 4);
let oddState: v128 = i32x4(5, 6, 7, 8);

/** Takes their places from the first 32 bytes of the codes. */
export function seed(): void {
  evenState = v128.load(CODES);
  oddState = v128.load(CODES, 16);
}

function next(s: v128): v128 {
  const a = v128.xor(s, i32x4.shl(s, 13));
  const b = v128.xor(a, i32x4.shr_u(a, 17));
  return v128.xor(b, i32x4.shl(b, 5));
}

/** Uniform over [0, 1), in steps of 2⁻²³: the bits of a number between 1 and 2. */
function uniform(s: v128): v128 {
  return f32x4.sub(v128.or(i32x4.shr_u(s, 9), i32x4.splat(0x3f800000)), f32x4.splat(1));
}

/**
 * Code of each value x in a bucket of norm m: levels · x / m + levels + u, rounded to nearest, 0 to 2 · levels; u = 0 or
 * at random between −1/2 and 1/2; `bits` of each, 2, 4 or 8, the first in the lowest place.
 */
export function encode(count: i32, bucket: i32, levels: f32, bits: i32, isRandom: bool): void {
  for (let start = 0, index = 0; start < count; start += bucket, index++) {
    const norm = load<f32>(NORMS + 4 * (index as usize));
    const factor = f32x4.splat(norm > 0 ? min(levels / norm, f32.MAX_VALUE) : 0);
    const end = min(start + bucket, count);
    if (isRandom) encodeAtRandom(start, end, factor, levels, bits);
    else encodeNearest(start, end, factor, levels, bits);
  }
}

function encodeAtRandom(start: i32, end: i32, factor: v128, levels: f32, bits: i32): void {
  const middle = f32x4.splat(levels - 0.5);
  const top = i8x16.splat(<i8>(2 * levels));
  let even = evenState;
  let odd = oddState;
  for (let i = start; i < end; i += 16) {
    const at = VALUES + 4 * (i as usize);
    even = next(even);
    odd = next(odd);
    const a = placeOf(v128.load(at), factor, f32x4.add(middle, uniform(even)));
    const b = placeOf(v128.load(at, 16), factor, f32x4.add(middle, uniform(odd)));
    even = next(even);
    odd = next(odd);
    const c = placeOf(v128.load(at, 32), factor, f32x4.add(middle, uniform(even)));
    const d = placeOf(v128.load(at, 48), factor, f32x4.add(middle, uniform(odd)));
    const codes = codesOf(a, b, c, d, top);
    if (bits == 8) store8(i, codes);
    else if (bits == 4) store4(i, codes);
    else store2(i, codes);
  }
  evenState = even;
  oddState = odd;
}

function encodeNearest(start: i32, end: i32, factor: v128, levels: f32, bits: i32): void {
  const middle = f32x4.splat(levels);
  const top = i8x16.splat(<i8>(2 * levels));
  if (bits == 8) for (let i = start; i < end; i += 16) store8(i, nearest(i, factor, middle, top));
  else if (bits == 4)
    for (let i = start; i < end; i += 16) store4(i, nearest(i, factor, middle, top));
  else for (let i = start; i < end; i += 16) store2(i, nearest(i, factor, middle, top));
}

function nearest(i: i32, factor: v128, middle: v128, top: v128): v128 {
  const at = VALUES + 4 * (i as usize);
  const a = placeOf(v128.load(at), factor, middle);
  const b = placeOf(v128.load(at, 16), factor, middle);
  const c = placeOf(v128.load(at, 32), factor, middle);
  const d = placeOf(v128.load(at, 48), factor, middle);
  return codesOf(a, b, c, d, top);
}

/** Added to 2²³, a number is rounded to a whole one, by which the bits of the sum are above those of 2²³. */
function placeOf(x: v128, factor: v128, middle: v128): v128 {
  const place = f32x4.add(f32x4.mul(x, factor), middle);
  return i32x4.sub(f32x4.add(place, f32x4.splat(8388608)), i32x4.splat(0x4b000000));
}

/** Narrowing makes 0 of what is negative, and 255 of what is too large. */
function codesOf(a: v128, b: v128, c: v128, d: v128, top: v128): v128 {
  const codes = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
  return i8x16.min_u(codes, top);
}

function store8(i: i32, codes: v128): void {
  v128.store(CODES + (i as usize), codes);
}

function store4(i: i32, codes: v128): void {
  v128.store64_lane(CODES + ((i >> 1) as usize), pairs(codes, 4), 0);
}

function store2(i: i32, codes: v128): void {
  v128.store32_lane(CODES + ((i >> 2) as usize), pairs(pairs(codes, 2), 4), 0);
}

/** Two neighbouring bytes of `width` bits become one of twice the width. */
function pairs(codes: v128, width: i32): v128 {
  const low = v128.and(codes, i16x8.splat(0x00ff));
  const high = i16x8.shr_u(codes, 8 - width);
  const both = v128.and(v128.or(low, high), i16x8.splat(0x00ff));
  return i8x16.narrow_i16x8_u(both, both);
}

/** The values of codes: (code − levels) · m / levels. */
export function decode(count: i32, bucket: i32, levels: f32, bits: i32): void {
  const middle = i16x8.splat(<i16>levels);
  for (let start = 0, index = 0; start < count; start += bucket, index++) {
    const unit = f32x4.splat(load<f32>(NORMS + 4 * (index as usize)) / levels);
    const end = min(start + bucket, count);
    // A loop for each: what does not change is not asked again.
    if (bits == 8) for (let i = start; i < end; i += 16) store16(i, codesOf8(i), middle, unit);
    else if (bits == 4) for (let i = start; i < end; i += 16) store16(i, codesOf4(i), middle, unit);
    else for (let i = start; i < end; i += 16) store16(i, codesOf2(i), middle, unit);
  }
}

function codesOf8(i: i32): v128 {
  return v128.load(CODES + (i as usize));
}

function codesOf4(i: i32): v128 {
  return split(v128.load64_zero(CODES + ((i >> 1) as usize)), 4);
}

function codesOf2(i: i32): v128 {
  return split(split(v128.load32_zero(CODES + ((i >> 2) as usize)), 4), 2);
}

function store16(i: i32, codes: v128, middle: v128, unit: v128): void {
  const low = i16x8.sub(i16x8.extend_low_i8x16_u(codes), middle);
  const high = i16x8.sub(i16x8.extend_high_i8x16_u(codes), middle);
  const at = VALUES + 4 * (i as usize);
  v128.store(at, valueOf(i32x4.extend_low_i16x8_s(low), unit));
  v128.store(at, valueOf(i32x4.extend_high_i16x8_s(low), unit), 16);
  v128.store(at, valueOf(i32x4.extend_low_i16x8_s(high), unit), 32);
  v128.store(at, valueOf(i32x4.extend_high_i16x8_s(high), unit), 48);
}

function valueOf(level: v128, unit: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(level), unit);
}

/** One byte of twice `width` bits becomes two neighbouring ones of `width`. */
function split(codes: v128, width: i32): v128 {
  const wide = i16x8.extend_low_i8x16_u(codes);
  const mask = i16x8.splat(<i16>(<i32>(1 << width) - 1));
  const low = v128.and(wide, mask);
  const high = v128.and(i16x8.shr_u(wide, width), mask);
  return v128.or(low, i16x8.shl(high, 8));
}

/** Writes the places of the values whose magnitude is above a threshold. @returns how many there are */
export function pickAbove(count: i32, threshold: f32): i32 {
  const least = f32x4.splat(threshold);
  let found = 0;
  for (let i = 0; i < count; i += 16) {
    const at = VALUES + 4 * (i as usize);
    const a = f32x4.gt(f32x4.abs(v128.load(at)), least);
    const b = f32x4.gt(f32x4.abs(v128.load(at, 16)), least);
    const c = f32x4.gt(f32x4.abs(v128.load(at, 32)), least);
    const d = f32x4.gt(f32x4.abs(v128.load(at, 48)), least);
    if (!v128.any_true(v128.or(v128.or(a, b), v128.or(c, d)))) continue;
    let bits =
      i32x4.bitmask(a) |
      (i32x4.bitmask(b) << 4) |
      (i32x4.bitmask(c) << 8) |
      (i32x4.bitmask(d) << 12);
    while (bits != 0) {
      store<i32>(POSITIONS + 4 * (found as usize), i + ctz(bits));
      found++;
      bits &= bits - 1;
    }
  }
  return found;
}

function lanesLargest(x: v128): f32 {
  return max(
    max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)),
    max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)),
  );
}

function lanesSum(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) +
    f32x4.extract_lane(x, 1) +
    f32x4.extract_lane(x, 2) +
    f32x4.extract_lane(x, 3)
  );
}

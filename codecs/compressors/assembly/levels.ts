import { CODES, NORMS, VALUES } from "./memory";

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
  const large = f32x4.splat(8388608);
  return i32x4.sub(f32x4.add(place, large), large);
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

import { CODES, VALUES } from "./memory";

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

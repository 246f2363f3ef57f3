import { POSITIONS, VALUES } from "./memory";

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

import { magnitudeOf } from "./magnitude";
import { CODES, POSITIONS, VALUES } from "./memory";

/** Writes the places of the values whose magnitude is above a threshold. @returns how many there are */
export function pickAbove(count: i32, threshold: f32): i32 {
  const groupCount = groupsAbove(count, threshold);
  let found = 0;
  for (let group = 0; group < groupCount; group++) {
    const word = load<u32>(CODES + 4 * (group as usize));
    const first = (word >> 16) << 4;
    for (let bits = word & 0xffff; bits != 0; bits &= bits - 1) {
      store<u32>(POSITIONS + 4 * (found as usize), first + ctz(bits));
      found++;
    }
  }
  return found;
}

/**
 * Groups of 16 with any value above it: which one, and a bit for each value. All are written, and the others written over:
 * whether there is one cannot be foretold, so that asking takes longer.
 */
function groupsAbove(count: i32, threshold: f32): i32 {
  const least = f32x4.splat(threshold);
  let groupCount = 0;
  for (let i = 0; i < count; i += 16) {
    const at = VALUES + 4 * (i as usize);
    const a = f32x4.gt(magnitudeOf(v128.load(at)), least);
    const b = f32x4.gt(magnitudeOf(v128.load(at, 16)), least);
    const c = f32x4.gt(magnitudeOf(v128.load(at, 32)), least);
    const d = f32x4.gt(magnitudeOf(v128.load(at, 48)), least);
    const all = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
    const bits = i8x16.bitmask(all);
    store<u32>(CODES + 4 * (groupCount as usize), (i << 12) | bits);
    groupCount += i32(bits != 0);
  }
  return groupCount;
}

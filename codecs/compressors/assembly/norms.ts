import { magnitudeOf } from "./magnitude";
import { NORMS, VALUES } from "./memory";

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

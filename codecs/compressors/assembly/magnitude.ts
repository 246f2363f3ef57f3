/** |x|; as whole numbers these have the same order. */
export function magnitudeOf(x: v128): v128 {
  return v128.and(x, i32x4.splat(0x7fffffff));
}

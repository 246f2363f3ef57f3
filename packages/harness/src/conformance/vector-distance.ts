type Vector = Readonly<Float32Array> | Readonly<Float64Array>;

export function lengthOf(vector: Vector): number {
  let sum = 0;
  for (const value of vector) sum += value ** 2;
  return Math.sqrt(sum);
}

/** Length of the difference, as a part of the second vector's length. */
export function relativeDistance(a: Vector, b: Vector): number {
  return distance(a, b) / lengthOf(b);
}

export function distance(a: Vector, b: Vector): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(sum);
}

/** Greatest number of float32 values between two elements of the same place; 0: the same bits. */
export function maxUlpDistance(a: Readonly<Float32Array>, b: Readonly<Float32Array>): number {
  const [x, y] = [a, b].map((each) => new Int32Array(each.slice().buffer)) as [
    Int32Array,
    Int32Array,
  ];
  let most = 0;
  for (let i = 0; i < x.length; i++)
    most = Math.max(most, Math.abs(ordered(x[i]!) - ordered(y[i]!)));
  return most;
}

/** Bits of floats as integers in the order of the floats. */
function ordered(bits: number): number {
  return bits < 0 ? -2147483648 - bits : bits;
}

/** The greatest distance of two models, in words. */
export function apart(ulpDistance: number): string {
  if (ulpDistance === 0) return "same bits";
  return ulpDistance > 1e6 ? "entirely apart" : `${ulpDistance} float steps apart`;
}

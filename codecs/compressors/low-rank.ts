/** A tensor as a matrix, by rows, with what the power method goes on from. */
export interface Matrix {
  readonly offset: number;
  readonly rows: number;
  readonly columns: number;
  /** The first Q, and where its columns begin anew. */
  readonly start: Readonly<Float32Array>;
  /** columns × rank, by rows. */
  q: Float32Array;
  /** rows × rank, by rows, once the mean is there. */
  p: Float32Array;
}

/**
 * Columns of Q that came to 0 begin anew, in place. A gradient of 0, or of a lower rank than Q, leaves nothing of them, and
 * the power method finds nothing from 0: their rank would be lost to all steps to come.
 */
export function restoreLostColumns({ q, columns, start }: Matrix, rank: number): void {
  for (let k = 0; k < rank; k++)
    if (columnLength(q, k, columns, rank) === 0)
      for (let i = k; i < q.length; i += rank) q[i] = start[i];
}

/** M Q. */
export function timesQ(
  vector: Float32Array,
  { offset, rows, columns, q }: Matrix,
  rank: number,
): Float32Array {
  const p = new Float32Array(rows * rank);
  for (let k = 0; k < rank; k++)
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      const start = offset + row * columns;
      for (let column = 0; column < columns; column++)
        sum += vector[start + column] * q[column * rank + k];
      p[row * rank + k] = sum;
    }
  return p;
}

/** Mᵀ P. */
export function transposedTimesP(vector: Float32Array, matrix: Matrix, rank: number): Float32Array {
  const { offset, rows, columns, p } = matrix;
  const sums = new Float64Array(columns * rank);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const value = vector[offset + row * columns + column];
      for (let k = 0; k < rank; k++) sums[column * rank + k] += value * p[row * rank + k];
    }
  return Float32Array.from(sums);
}

/** P Qᵀ, to where the tensor lies. */
export function writeProduct(
  { offset, rows, columns, p, q }: Matrix,
  rank: number,
  to: Float32Array,
): void {
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let k = 0; k < rank; k++) sum += p[row * rank + k] * q[column * rank + k];
      to[offset + row * columns + column] = sum;
    }
}

/** Makes columns orthonormal, in place (Gram–Schmidt, as Vogels et al. 2019, section 3); a column that depends on those before it becomes 0. */
export function orthonormalize(p: Float32Array, rows: number, rank: number): void {
  for (let k = 0; k < rank; k++) {
    const before = columnLength(p, k, rows, rank);
    for (let other = 0; other < k; other++) {
      let dot = 0;
      for (let row = 0; row < rows; row++) dot += p[row * rank + k] * p[row * rank + other];
      for (let row = 0; row < rows; row++) p[row * rank + k] -= dot * p[row * rank + other];
    }
    const length = columnLength(p, k, rows, rank);
    // What single precision leaves of nothing is no direction.
    const scale = length > 1e-6 * before ? 1 / length : 0;
    for (let row = 0; row < rows; row++) p[row * rank + k] *= scale;
  }
}

function columnLength(p: Float32Array, k: number, rows: number, rank: number): number {
  let squares = 0;
  for (let row = 0; row < rows; row++) squares += p[row * rank + k] ** 2;
  return Math.sqrt(squares);
}

/** Vectors one after the other. */
export function joined(parts: readonly Float32Array[], size: number): Float32Array {
  const vector = new Float32Array(size);
  let to = 0;
  for (const part of parts) {
    vector.set(part, to);
    to += part.length;
  }
  return vector;
}

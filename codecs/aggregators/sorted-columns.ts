/** For each place of the vectors: their values there, sorted, made into one. */
export function sortedColumns(
  vectors: readonly Readonly<Float32Array>[],
  combine: (column: Float32Array) => number,
): Float32Array {
  const result = new Float32Array(vectors[0].length);
  const column = new Float32Array(vectors.length);
  for (let i = 0; i < result.length; i++) {
    // Sorted as it is filled: there are few, and a call of `sort` for each place costs more.
    for (let count = 0; count < column.length; count++) {
      const value = vectors[count][i];
      let place = count;
      for (; place > 0 && column[place - 1] > value; place--) column[place] = column[place - 1];
      column[place] = value;
    }
    result[i] = combine(column);
  }
  return result;
}

/** Elements whose sums are held at a time: few enough to stay in the processor's first cache. */
const CHUNK = 1024;

/**
 * The mean of vectors, element by element.
 *
 * Sums are taken in double precision in the order given and rounded once. So equal vectors have exactly themselves as
 * mean, and nodes that pass the same vectors in the same order (of node or block ids, not of arrival) get the same
 * bits.
 *
 * @param vectors - at least one; all of one length
 * @param shares - how much each vector counts, not all zero; equally if left out
 * @param mean - where it goes, none of the vectors; a new vector by default
 */
export function meanOf(
  vectors: readonly Readonly<Float32Array>[],
  shares?: readonly number[],
  mean = new Float32Array(vectors[0]?.length ?? 0),
): Float32Array {
  if (vectors.length === 1) {
    mean.set(vectors[0]!);
    return mean;
  }
  const total = shares?.reduce((sum, share) => sum + share, 0) ?? vectors.length;
  const sums = new Float64Array(CHUNK);
  for (let start = 0; start < mean.length; start += CHUNK) {
    const count = Math.min(CHUNK, mean.length - start);
    sums.fill(0);
    for (const [index, vector] of vectors.entries()) {
      const share = shares?.[index] ?? 1;
      for (let i = 0; i < count; i++) sums[i]! += share * vector[start + i]!;
    }
    for (let i = 0; i < count; i++) mean[start + i] = sums[i]! / total;
  }
  return mean;
}

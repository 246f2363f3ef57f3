import { PsgdError } from "@psgd/core";
import type { Sparsifier } from "./compressor.js";
import { eachChunk, kernels, load, memory } from "./kernels.js";

/** Values that a threshold is estimated from, at least; of long vectors one in 256. */
const LEAST_SAMPLES = 1024;

/**
 * The k = ⌈fraction · d⌉ values of largest magnitude, exactly; of equal ones those that come first. Zeros are never sent.
 * Biased: wants error feedback (Stich et al. 2018, arXiv 1809.07599).
 *
 * As in Deep Gradient Compression (Lin et al. 2018, section 3.1) a threshold is estimated from a sample, so that almost
 * all values are looked at only once; the few above it are then sorted out exactly.
 *
 * @param fraction - above 0, at most 1
 */
export function topK(fraction: number): Sparsifier {
  const name = `topK(${fraction})`;
  if (!(fraction > 0 && fraction <= 1)) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `fraction of topK: expected a number above 0 and at most 1, got ${fraction}`,
    );
  }
  return {
    kind: "sparsifier",
    name,
    pick: (values) => largestPositions(values, Math.max(1, Math.ceil(fraction * values.length))),
  };
}

/** The positions of the k largest magnitudes, ascending. */
export function largestPositions(values: Readonly<Float32Array>, k: number): Uint32Array {
  let candidates = positionsAbove(values, estimatedThreshold(values, k));
  // The sample was unlucky: all that are not 0 are enough in any case.
  if (candidates.length < k) candidates = positionsAbove(values, 0);
  if (candidates.length <= k) return candidates;
  const magnitudes = new Float32Array(candidates.length);
  for (let i = 0; i < candidates.length; i++) magnitudes[i] = Math.abs(values[candidates[i]]);
  const least = kthLargest(magnitudes.slice(), k);
  let tieCount = k;
  for (let i = 0; i < magnitudes.length; i++) if (magnitudes[i] > least) tieCount--;
  const positions = new Uint32Array(k);
  let count = 0;
  for (let i = 0; i < candidates.length; i++) {
    const isTied = magnitudes[i] === least;
    if (magnitudes[i] > least || (isTied && tieCount > 0)) positions[count++] = candidates[i];
    if (isTied) tieCount--;
  }
  return positions;
}

/** A little below the k-th largest magnitude, most likely. */
function estimatedThreshold(values: Readonly<Float32Array>, k: number): number {
  const samples = Math.max(LEAST_SAMPLES, values.length >>> 8);
  const stride = Math.floor(values.length / samples);
  if (stride < 2) return 0;
  const sample = new Float32Array(samples);
  // A different place in each stretch, as what repeats with the shape of a tensor must not be met again and again.
  for (let i = 0; i < samples; i++)
    sample[i] = Math.abs(values[i * stride + ((i * 7919) % stride)]);
  const expected = (k * samples) / values.length;
  const rank = Math.ceil(expected + 3 * Math.sqrt(expected) + 3);
  return rank > samples ? 0 : kthLargest(sample, rank) * (1 - 2 ** -20);
}

/** Positions of magnitudes above a threshold, ascending. */
function positionsAbove(values: Readonly<Float32Array>, threshold: number): Uint32Array {
  let found = new Uint32Array(Math.min(values.length, 4096));
  let count = 0;
  eachChunk(0, values.length, (start, end) => {
    load(values, start, end);
    const inChunk = kernels.pickAbove(end - start, threshold);
    if (count + inChunk > found.length) {
      const larger = new Uint32Array(2 * (count + inChunk));
      larger.set(found);
      found = larger;
    }
    for (let i = 0; i < inChunk; i++) found[count++] = start + memory.positions[i];
  });
  return found.subarray(0, count);
}

/**
 * The k-th largest value (Hoare 1961, Algorithm 65: FIND).
 * @param values - put in another order
 */
function kthLargest(values: Float32Array, k: number): number {
  let low = 0;
  let high = values.length - 1;
  const place = k - 1;
  while (low < high) {
    const pivot = values[(low + high) >>> 1];
    let i = low;
    let j = high;
    while (i <= j) {
      while (values[i] > pivot) i++;
      while (values[j] < pivot) j--;
      if (i > j) break;
      const held = values[i];
      values[i++] = values[j];
      values[j--] = held;
    }
    if (place <= j) high = j;
    else if (place >= i) low = i;
    else break;
  }
  return values[place];
}

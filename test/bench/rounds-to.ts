/**
 * Rounds until a curve meets the target, as McMahan et al. 2017 (arXiv 1602.05629, section 3) count them: the best so
 * far counts, and between two rounds the line between them.
 *
 * @param accuracies - after round 1, 2, …
 * @returns `Infinity` if it never does
 */
export function roundsTo(target: number, accuracies: readonly number[]): number {
  const meeting = accuracies.findIndex((accuracy) => accuracy >= target);
  if (meeting < 0) return Infinity;
  if (meeting === 0) return 1;
  const before = Math.max(...accuracies.slice(0, meeting));
  return meeting + (target - before) / (accuracies[meeting]! - before);
}

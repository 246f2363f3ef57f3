/** The candidate that a misspelt word most likely means, or `undefined` if none is near. Capitals do not count. */
export function nearMiss(word: string, candidates: Iterable<string>): string | undefined {
  // A third of the letters may be wrong: more than that, and any short word is near any other.
  let nearest = { distance: Math.max(1, Math.floor(word.length / 3)) + 1, name: "" };
  for (const name of candidates) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    if (distance < nearest.distance) nearest = { distance, name };
  }
  return nearest.name === "" ? undefined : nearest.name;
}

/** `; did you mean ...?` for the end of a message, or nothing. */
export function didYouMean(near: string | undefined): string {
  return near === undefined ? "" : `; did you mean \`${near}\`?`;
}

/** Letters to insert, leave out, replace or swap with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(
        Math.min(
          last[j]! + 1,
          row[j - 1]! + 1,
          last[j - 1]! + (isSame ? 0 : 1),
          isSwapped ? beforeLast[j - 2]! + 1 : Infinity,
        ),
      );
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}

/** The known name that somebody most likely meant, for "did you mean". */

/** Undefined if none is near: at most a third of the letters may differ. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const sameLetters = known.find((each) => each.toLowerCase() === name.toLowerCase());
  if (sameLetters !== undefined) return sameLetters;
  const ranked = known
    .map((each) => ({ each, distance: editDistance(name.toLowerCase(), each.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(1, Math.floor(name.length / 3)) ? best.each : undefined;
}

/** Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, substitutions and swaps. */
export function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const above = rows[i - 1]!;
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, rows[i - 2]![j - 2]! + 1);
      }
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** `did you mean "nodes"?`, or all that there is. */
export function suggestion(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  return near === undefined ? `use one of ${[...known].sort().join(', ')}` : `did you mean "${near}"?`;
}

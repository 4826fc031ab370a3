/** What a new process has as one of its descriptors: one of ours, or /dev/null. */
export type Source = number | 'null';

export interface Placement {
  readonly from: Source;
  readonly to: number;
}

/**
 * The dup2(2) calls that make `sources` the descriptors 0, 1, 2, ... of a new
 * process. A source with such a low number is moved out of the way first, or a
 * call before its own would overwrite it; and dup2 of a number onto itself
 * would leave it close-on-exec.
 */
export function sourcesInOrder(sources: readonly Source[]): readonly Placement[] {
  const taken = new Set(sources);
  const moves = new Map<Source, Placement>();
  let free = sources.length;
  for (const from of taken) {
    if (from !== 'null' && from < sources.length) {
      while (taken.has(free)) {
        free += 1;
      }
      moves.set(from, { from, to: free });
      free += 1;
    }
  }
  const placed = sources.map((source, to) => ({ from: moves.get(source)?.to ?? source, to }));
  return [...moves.values(), ...placed];
}

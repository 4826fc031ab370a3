/**
 * Runs `fn` over all items, at most `limit` at once. The first failure aborts
 * the signal that the others were given, and is thrown once all have ended.
 */
export async function forEachLimited<T>(
  items: readonly T[],
  limit: number,
  signal: AbortSignal,
  fn: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const joined = AbortSignal.any([signal, stop.signal]);
  const pending = [...items];
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    for (let item = pending.shift(); item !== undefined; item = pending.shift()) {
      try {
        joined.throwIfAborted();
        await fn(item, joined);
      } catch (error) {
        failures.push(error);
        stop.abort(error);
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  signal.throwIfAborted();
  if (failures.length > 0) {
    throw failures[0];
  }
}

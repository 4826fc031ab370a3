import { InParallel } from './in-parallel.ts';

/**
 * As Promise.all, but settles only when nothing runs any more: for work under a
 * lock, or work that is undone when a part of it fails. Throws the first failure.
 */
export async function finishAll(work: Iterable<Promise<unknown>>): Promise<void> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) {
    throw failed.reason;
  }
}

/**
 * What starts commands and writes records blocks this process for milliseconds each time, and a pod
 * may have a hundred containers: in one go they would keep it from answering for seconds.
 */
const atOnce = 8;

/** As finishAll, a few items at a time. */
export function finishEach<T>(
  items: readonly T[],
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const turns = new InParallel(atOnce);
  return finishAll(items.map((item) => turns.run(() => work(item))));
}

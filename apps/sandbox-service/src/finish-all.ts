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

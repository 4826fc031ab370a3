/** Computes a figure at most once in `maxAgeMs`; callers meanwhile share it, a failure is not kept. */
export function recently<T>(maxAgeMs: number, compute: () => Promise<T>): () => Promise<T> {
  let last: { readonly at: number; readonly value: Promise<T> } | undefined;
  return () => {
    const now = performance.now();
    if (last === undefined || now - last.at >= maxAgeMs) {
      const value = compute();
      last = { at: now, value };
      value.catch(() => {
        last = undefined;
      });
    }
    return last.value;
  };
}

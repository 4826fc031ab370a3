import type { PooledFunction } from './libc.ts';

// The pool has four threads, and all of fs needs them: calls that may take long get three.
const atOnce = 3;
let running = 0;
const queue: (() => void)[] = [];

/**
 * Calls a C function on the libuv pool and resolves with its result; its errno
 * is out of reach. However many are asked for, few run at a time.
 */
export async function onPool<A extends readonly unknown[]>(
  fn: PooledFunction<A>,
  ...args: A
): Promise<number> {
  if (running >= atOnce) {
    await new Promise<void>((go) => queue.push(go));
  } else {
    running += 1;
  }
  try {
    return await new Promise<number>((resolve, reject) => {
      fn.async(...args, (error, result) => {
        if (error === null) {
          resolve(result);
        } else {
          reject(error);
        }
      });
    });
  } finally {
    // A turn is handed over, not given back: nobody can slip in between.
    const next = queue.shift();
    if (next === undefined) {
      running -= 1;
    } else {
      next();
    }
  }
}

import type { Locks } from './ports.ts';

/** Locks that instances take from each other, as flock(2) has it: what a dead one held is free. */
export class FakeLocks {
  readonly #held = new Map<string, { instance: object; waiting: (() => void)[] }>();
  readonly #dead = new WeakSet<object>();

  /** The instance dies. */
  lose(instance: object): void {
    this.#dead.add(instance);
    for (const [path, lock] of this.#held) {
      if (lock.instance === instance) {
        this.#unlock(path);
      }
    }
  }

  port(instance: object): Locks {
    return {
      tryLock: (path) => this.#tryLock(instance, path),
      lock: async (path, { signal } = {}) => {
        for (;;) {
          signal?.throwIfAborted();
          if (this.#dead.has(instance)) {
            return new Promise<never>(() => undefined);
          }
          const lock = this.#tryLock(instance, path);
          if (lock !== undefined) {
            return lock;
          }
          await new Promise<void>((resolve, reject) => {
            this.#held.get(path)?.waiting.push(resolve);
            signal?.addEventListener('abort', () => {
              reject(signal.reason as Error);
            });
          });
        }
      },
    };
  }

  #tryLock(instance: object, path: string): AsyncDisposable | undefined {
    // What is left of a dead one in this process would never let go of it.
    if (this.#held.has(path) || this.#dead.has(instance)) {
      return undefined;
    }
    this.#held.set(path, { instance, waiting: [] });
    let isMine = true;
    return {
      [Symbol.asyncDispose]: () => {
        if (isMine && !this.#dead.has(instance)) {
          this.#unlock(path);
        }
        isMine = false;
        return Promise.resolve();
      },
    };
  }

  #unlock(path: string): void {
    const lock = this.#held.get(path);
    this.#held.delete(path);
    for (const wake of lock?.waiting ?? []) {
      wake();
    }
  }
}

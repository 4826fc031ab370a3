/** Longer than most pieces of work, short beside what any call takes. */
const heldMs = 2;

/**
 * Runs pieces of work that do not wait, in order, and lets all else that is due have its turn every two
 * milliseconds. Files of the kernel are read so: a turn of the thread pool takes more CPU than the reading.
 */
export class InTurns {
  readonly #waiting: (() => void)[] = [];
  #isDue = false;

  run<T>(work: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#waiting.push(() => {
      try {
        resolve(work());
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    this.#wake();
    return promise;
  }

  #wake(): void {
    if (!this.#isDue) {
      this.#isDue = true;
      setImmediate(() => {
        this.#isDue = false;
        this.#turn();
      });
    }
  }

  #turn(): void {
    const end = performance.now() + heldMs;
    for (let work = this.#waiting.shift(); work !== undefined; work = this.#waiting.shift()) {
      work();
      if (performance.now() >= end) {
        this.#wake();
        return;
      }
    }
  }
}

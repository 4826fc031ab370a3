/** Runs at most `limit` things at once; the others wait for their turn, in order. */
export class InParallel {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#free = limit;
  }

  async run<T>(fn: () => Promise<T>): Promise<T> {
    if (this.#free === 0) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    } else {
      this.#free -= 1;
    }
    try {
      return await fn();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#free += 1;
      } else {
        next();
      }
    }
  }

  /** The results in the order of `items`. */
  map<A, B>(items: readonly A[], fn: (item: A) => Promise<B>): Promise<B[]> {
    return Promise.all(items.map((item) => this.run(() => fn(item))));
  }
}

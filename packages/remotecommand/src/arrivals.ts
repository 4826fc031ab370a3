/** A queue for one reader; ends with `end`, after what is in it was read. */
export class Arrivals<T> implements AsyncIterable<T>, AsyncIterator<T, undefined> {
  readonly #waiting: T[] = [];
  #isEnded = false;
  #wake: (() => void) | undefined;

  add(value: T): void {
    if (!this.#isEnded) {
      this.#waiting.push(value);
      this.#wake?.();
    }
  }

  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      const value = this.#waiting.shift();
      if (value !== undefined) {
        return { done: false, value };
      }
      if (this.#isEnded) {
        return { done: true, value: undefined };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

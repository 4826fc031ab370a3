/** A source of values of which only the newest counts; for one reader. */
export class Latest<T> implements AsyncIterable<T>, AsyncIterator<T, undefined> {
  #value: { readonly value: T } | undefined;
  #isEnded = false;
  #wake: (() => void) | undefined;

  put(value: T): void {
    if (!this.#isEnded) {
      this.#value = { value };
      this.#wake?.();
    }
  }

  /** The reader still gets a value that it has not taken. */
  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    while (this.#value === undefined && !this.#isEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#value;
    this.#value = undefined;
    return taken === undefined ? { done: true, value: undefined } : { done: false, ...taken };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

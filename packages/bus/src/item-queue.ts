import type { RuntimeError } from '@gantry/errors';
import type { CallSink } from './outbound-call.ts';

interface Item {
  readonly body: Uint8Array;
  readonly cost: number;
}

/**
 * Holds the items of a stream until its reader comes. The window bounds it:
 * what is not taken is not acknowledged, and the sender stops.
 */
export class ItemQueue implements CallSink {
  readonly #taken: (cost: number) => void;
  readonly #items: Item[] = [];
  // Parts of the item that is still arriving.
  #partCost = 0;
  #ended = false;
  #error: RuntimeError | undefined;
  #wake: (() => void) | undefined;

  constructor(taken: (cost: number) => void) {
    this.#taken = taken;
  }

  item(body: Uint8Array, cost: number): void {
    this.#items.push({ body, cost: cost + this.#partCost });
    this.#partCost = 0;
    this.#wake?.();
  }

  part(cost: number): void {
    this.#partCost += cost;
    this.#releaseParts();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  fail(error: RuntimeError): void {
    this.#error = error;
    this.#wake?.();
  }

  /** The next item, or undefined at the end. An error overtakes no item. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#taken(item.cost);
        this.#releaseParts();
        return item.body;
      }
      if (this.#error !== undefined) {
        throw this.#error;
      }
      if (this.#ended) {
        return undefined;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  // An item may be larger than the window: its parts must flow while the reader waits for it.
  #releaseParts(): void {
    if (this.#items.length === 0 && this.#partCost > 0) {
      this.#taken(this.#partCost);
      this.#partCost = 0;
    }
  }
}

import { RuntimeError } from '@gantry/errors';

/**
 * What waits for one client, in order. A client that falls behind by more than
 * `most` events loses them and is told so by `resource-exhausted`: nobody may
 * believe to have seen all who has not.
 */
export class EventQueue<T> {
  readonly #most: number;
  #waiting: T[] = [];
  #end: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(most: number) {
    this.#most = most;
  }

  push(event: T): void {
    if (this.#end !== undefined) {
      return;
    }
    if (this.#waiting.length >= this.#most) {
      this.#waiting = [];
      this.end(
        new RuntimeError(
          'resource-exhausted',
          `container events: more than ${this.#most} wait for this client; list everything and connect again`,
        ),
      );
      return;
    }
    this.#waiting.push(event);
    this.#wake();
  }

  /** Has `take` throw `error` once what waits is taken. */
  end(error: Error): void {
    this.#end ??= error;
    this.#wake();
  }

  /** Gives what was pushed, for ever; throws the reason of an abort, or what `end` was told. */
  async *take(signal: AbortSignal): AsyncGenerator<T> {
    const onAbort = () => {
      this.#wake();
    };
    signal.addEventListener('abort', onAbort);
    try {
      for (;;) {
        signal.throwIfAborted();
        const event = this.#waiting.shift();
        if (event !== undefined) {
          yield event;
        } else if (this.#end === undefined) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        } else {
          throw this.#end;
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}

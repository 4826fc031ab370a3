import { RuntimeError } from '@gantry/errors';

/**
 * What waits for one client, in order. A client that falls behind by more than
 * `most` events, or `mostBytes` of them, loses them and is told so by
 * `resource-exhausted`: nobody may believe to have seen all who has not.
 */
export class EventQueue<T> {
  readonly #most: number;
  readonly #mostBytes: number;
  #waiting: { readonly event: T; readonly bytes: number }[] = [];
  #bytes = 0;
  #end: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(most: number, mostBytes: number) {
    this.#most = most;
    this.#mostBytes = mostBytes;
  }

  /** One that is larger than all that may wait is taken where nothing else waits. */
  push(event: T, bytes: number): void {
    if (this.#end !== undefined) {
      return;
    }
    const isFull = this.#waiting.length > 0 && this.#bytes + bytes > this.#mostBytes;
    if (isFull || this.#waiting.length >= this.#most) {
      const what = isFull ? `${this.#mostBytes >> 20} MiB` : this.#most;
      this.#waiting = [];
      this.end(
        new RuntimeError(
          'resource-exhausted',
          `container events: more than ${what} wait for this client; list everything and connect again`,
        ),
      );
      return;
    }
    this.#waiting.push({ event, bytes });
    this.#bytes += bytes;
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
        const next = this.#waiting.shift();
        if (next !== undefined) {
          this.#bytes -= next.bytes;
          yield next.event;
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

import { Duplex } from 'node:stream';

/** What a hub sees of conmon: packets, counted as they are written. */
export class FakeConmon extends Duplex {
  /** The length of each packet of input. */
  readonly packets: number[] = [];
  /** How many were joined into one write at most. */
  mostAtOnce = 0;
  readonly inputEnded: Promise<void>;
  readonly #ended: () => void;

  constructor() {
    super({ allowHalfOpen: true, readableHighWaterMark: 1 << 30 });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.inputEnded = promise;
    this.#ended = resolve;
  }

  /** A packet of output; it is there when this returns. */
  say(pipe: 2 | 3, text: string): void {
    this.emit('data', Buffer.concat([Buffer.of(pipe), Buffer.from(text)]));
  }

  override _read(): void {
    // Tests push.
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.mostAtOnce = Math.max(this.mostAtOnce, chunks.length);
    this.packets.push(...chunks.map(({ chunk }) => chunk.length));
    setImmediate(done);
  }

  override _final(done: () => void): void {
    this.#ended();
    done();
  }
}

import { Readable } from 'node:stream';
import type { SpdyStream } from '@gantry/spdy';

/**
 * The readable half of a SPDY stream, as a stream of its own. Destroying it
 * drops what still comes without telling the peer: client-go takes an end or
 * reset of its stdin for the end of the session.
 */
export class ReadSide extends Readable {
  readonly #stream: SpdyStream;

  constructor(stream: SpdyStream) {
    super();
    this.#stream = stream;
    this.on('error', () => {});
    stream.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) {
        stream.pause();
      }
    });
    stream.pause();
    stream.once('end', () => this.push(null));
    const close = (): void => {
      if (!stream.readableEnded) {
        this.destroy(stream.errored ?? undefined);
      }
    };
    if (stream.readableEnded) {
      this.push(null);
    } else if (stream.destroyed) {
      close();
    } else {
      stream.once('close', close);
    }
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#stream.readableEnded) {
      this.#stream.quiet = true;
      this.#stream.destroy();
    }
    done(error);
  }
}

import { Duplex } from 'node:stream';
import { RuntimeError } from '@gantry/errors';
import type { SpdyStream } from '@gantry/spdy';

/**
 * The client's end of a forwarded connection. Whether it ended well is only
 * known when the server has ended the error stream, so that comes first: the
 * server's message, if there is one, is the 'error' of this stream.
 */
export class DialedConnection extends Duplex {
  readonly #data: SpdyStream;

  constructor(data: SpdyStream, message: Promise<string>) {
    super();
    this.#data = data;
    this.on('error', () => {});
    data.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) {
        data.pause();
      }
    });
    data.once('close', () => {
      if (!data.readableEnded || this.readableEnded) {
        this.destroy(data.errored ?? undefined);
      } else {
        this.once('end', () => this.destroy());
      }
    });
    message.then(
      (words) => {
        if (words !== '') {
          this.destroy(new RuntimeError('unavailable', words));
        } else if (data.readableEnded) {
          this.push(null);
        } else {
          data.once('end', () => this.push(null));
        }
      },
      (cause) => this.destroy(new RuntimeError('unavailable', 'connection lost', { cause })),
    );
  }

  override _read(): void {
    this.#data.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#data.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#data.end(() => done(this.#data.errored));
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#data.destroy();
    done(error);
  }
}

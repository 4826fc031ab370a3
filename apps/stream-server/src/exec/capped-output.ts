import type { Readable } from 'node:stream';

/** Reads a stream to its end and keeps the first bytes, so that its writer never blocks. */
export class CappedOutput {
  readonly #stream: Readable;
  readonly #chunks: Buffer[] = [];
  #length = 0;
  /** The last writer has closed it, or it was closed here. Never rejects. */
  readonly ended: Promise<void>;

  constructor(stream: Readable, maxBytes: number) {
    this.#stream = stream;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    stream.on('data', (chunk: Buffer) => {
      this.#keep(chunk.subarray(0, maxBytes - this.#length));
    });
    // A read error has no other meaning than that nothing more comes.
    stream.on('error', () => undefined);
    stream.once('end', resolve);
    stream.once('close', resolve);
  }

  #keep(chunk: Buffer): void {
    if (chunk.length > 0) {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
    }
  }

  /** What was kept up to now. */
  bytes(): Buffer {
    const [first, second] = this.#chunks;
    return first !== undefined && second === undefined
      ? first
      : Buffer.concat(this.#chunks, this.#length);
  }

  /** Reads no more: a writer that is still there gets EPIPE. */
  close(): void {
    this.#stream.destroy();
  }
}

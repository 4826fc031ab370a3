import { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

const normalClosure = 1000;

/**
 * The bytes in a WebSocket's messages, whose bounds mean nothing. `end()` closes
 * the connection in order; a close by the peer is the end of what can be read.
 */
export class WebSocketDuplex extends Duplex {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    super();
    this.#socket = socket;
    socket.on('message', (data: Buffer) => {
      if (!this.readableEnded && !this.push(data)) {
        socket.pause();
      }
    });
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => {
      this.push(null);
      // Nothing can be sent any more.
      if (!this.writableFinished) {
        this.destroy();
      }
    });
  }

  override _read(): void {
    if (this.#socket.isPaused) {
      this.#socket.resume();
    }
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.send(chunk, { binary: true }, done);
  }

  override _writev(
    chunks: { readonly chunk: Buffer }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#socket.send(Buffer.concat(chunks.map(({ chunk }) => chunk)), { binary: true }, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.close(normalClosure);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.terminate();
    done(error);
  }
}

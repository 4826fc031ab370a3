import type { OnReadOpts, Socket } from 'node:net';
import { Readable } from 'node:stream';

const bufferBytes = 64 << 10;
/** How many pieces may be out on loan before it stops to read. */
const maxLent = 3;

/**
 * Reads a socket or pipe into a few buffers that are used again and again, where Node would allocate
 * 64 KiB for each read and leave some 100 MB of them to the garbage collector. It lends its pieces
 * once `lend` was called: whoever gets one gives it back by `release` and does not look at it after.
 * Before, each piece is a copy. It ends with the socket; an abrupt end closes it. Destroying it
 * before the end destroys the socket.
 */
export class LendingReader extends Readable {
  readonly #socket: Socket;
  readonly #free: Buffer[] = [];
  #lent = 0;
  #isLending = false;
  #isWanted = false;

  /** `open` makes the socket, with these options. */
  constructor(open: (onread: OnReadOpts) => Socket) {
    super();
    this.#socket = open({
      buffer: () => this.#free.pop() ?? Buffer.allocUnsafeSlow(bufferBytes),
      callback: (length, buffer) => this.#take(length, buffer),
    });
    this.#socket.on('error', () => undefined);
    this.#socket.once('end', () => this.push(null));
    this.#socket.once('close', () => {
      // After an end it closes by itself, when that has been read.
      if (!this.#socket.readableEnded) {
        this.destroy();
      }
    });
  }

  /** From now on pieces are lent. */
  lend(): void {
    this.#isLending = true;
  }

  /** From now on pieces are copies again, and those that are out need not come back. */
  stopLending(): void {
    this.#isLending = false;
    this.#lent = 0;
    if (this.#isWanted) {
      this.#socket.resume();
    }
  }

  /** Takes back a piece that was lent. */
  release(piece: Buffer): void {
    this.#free.push(Buffer.from(piece.buffer));
    this.#lent = Math.max(0, this.#lent - 1);
    if (this.#isWanted) {
      this.#socket.resume();
    }
  }

  override _read(): void {
    this.#isWanted = true;
    if (this.#lent < maxLent) {
      this.#socket.resume();
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // One that has ended may still be written; a pipe has closed by itself.
    if (!this.#socket.readableEnded) {
      this.#socket.destroy();
    }
    done(error);
  }

  #take(length: number, bytes: Uint8Array): boolean {
    const piece = Buffer.from(bytes.buffer, bytes.byteOffset, length);
    if (this.#isLending) {
      this.#lent += 1;
      this.#isWanted = this.push(piece);
    } else {
      this.#isWanted = this.push(Buffer.from(piece));
      this.#free.push(Buffer.from(bytes.buffer));
    }
    return this.#isWanted && this.#lent < maxLent;
  }
}

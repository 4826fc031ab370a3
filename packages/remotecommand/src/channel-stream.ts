import { Duplex } from 'node:stream';
import { ByteQueue } from '@gantry/spdy';
import type { ChannelSocket } from './channel-socket.ts';

/** Unread bytes at which nothing more is read from the WebSocket. */
const fullBytes = 512 * 1024;
const maxPayloadBytes = 32 * 1024;

/**
 * One channel, or one for each direction. `end()` sends nothing: WebSocket
 * channels have no half-close. After `destroy()` what comes is dropped.
 */
export class ChannelStream extends Duplex {
  readonly #socket: ChannelSocket;
  readonly #channel: number;
  readonly #queue = new ByteQueue();
  #isWanted = false;
  #isEnded = false;

  constructor(
    socket: ChannelSocket,
    channel: number,
    { isReadable, isWritable }: { isReadable: boolean; isWritable: boolean },
  ) {
    super();
    this.#socket = socket;
    this.#channel = channel;
    this.on('error', () => {});
    if (!isReadable) {
      this.finishInput();
      this.resume();
    }
    if (!isWritable) {
      this.end();
    }
  }

  /** For the socket's owner: bytes came. */
  receive(payload: Buffer): void {
    if (!this.#isEnded && !this.destroyed) {
      this.#queue.push(payload);
      this.#feed();
    }
  }

  /** For the socket's owner: no more will come. */
  finishInput(): void {
    this.#isEnded = true;
    this.#feed();
  }

  override _read(): void {
    this.#isWanted = true;
    this.#feed();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    let at = 0;
    while (chunk.length - at > maxPayloadBytes) {
      this.#socket.send(this.#channel, chunk.subarray(at, at + maxPayloadBytes));
      at += maxPayloadBytes;
    }
    this.#socket.send(this.#channel, chunk.subarray(at), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#queue.clear();
    this.#socket.setFull(this, false);
    done(error);
  }

  #feed(): void {
    while (this.#isWanted) {
      const chunk = this.#queue.shift();
      if (chunk === undefined) {
        break;
      }
      // Cleared before: the reader may ask for more from inside push().
      this.#isWanted = false;
      if (this.push(chunk)) {
        this.#isWanted = true;
      }
    }
    const held = this.#queue.heldBytes;
    if (held > fullBytes) {
      this.#socket.setFull(this, true);
    } else if (held <= fullBytes / 2) {
      this.#socket.setFull(this, false);
    }
    if (this.#isEnded && held === 0) {
      this.push(null);
    }
  }
}

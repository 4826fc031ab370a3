import type { Writable } from 'node:stream';

/** Conmon reads no more of a packet than 32 KiB; what is longer it would cut. */
const maxPacketBytes = 16 << 10;

/** Writes packets to one connection for many: one at a time, for Node joins those that wait into one. */
export class PacketWriter {
  readonly #connection: Writable;
  #tail: Promise<void> = Promise.resolve();
  #hasEnded = false;

  constructor(connection: Writable) {
    this.#connection = connection;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Resolves when the other side has room for more; what comes after the end is dropped. Never rejects. */
  write(chunk: Buffer): Promise<void> {
    // An empty packet would be an end.
    for (let at = 0; at < chunk.length; at += maxPacketBytes) {
      const packet = chunk.subarray(at, at + maxPacketBytes);
      this.#tail = this.#tail.then(() => this.#send(packet));
    }
    return this.#tail;
  }

  /** Ends the connection's input after what was written before. */
  end(): void {
    if (!this.#hasEnded) {
      this.#hasEnded = true;
      this.#tail = this.#tail.then(() => {
        this.#connection.end();
      });
    }
  }

  #send(packet: Buffer): Promise<void> {
    if (!this.#connection.writable) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#connection.write(packet, () => {
        resolve();
      });
    });
  }
}

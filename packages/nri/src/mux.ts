import { Duplex } from 'node:stream';
import { RuntimeError } from '@gantry/errors';

/** The two connections that a plugin and a runtime have over one socket. */
export const connections = {
  /** The runtime calls the plugin. */
  plugin: 1,
  /** The plugin calls the runtime. */
  runtime: 2,
} as const;

const headerBytes = 8;
/** A ttrpc message with its header. */
const maxPayloadBytes = (4 << 20) + 10;
/**
 * The reader of Go plugins takes a frame into a buffer of this size and fails
 * on a longer one, but for what follows a header that it has read already.
 */
const firstFrameBytes = 4096;

/**
 * Several streams of bytes over one (NRI, pkg/net/multiplex): each frame is the
 * number of a connection, a length and so many bytes, both numbers big-endian. A
 * frame is cut for the sake of Go's reader: the first 4096 bytes of each write go
 * alone. Nothing tells that a connection opens or closes; all end with the trunk.
 */
export class Mux {
  readonly #trunk: Duplex;
  readonly #connections = new Map<number, MuxConnection>();
  readonly #header = Buffer.alloc(headerBytes);
  #headerLength = 0;
  #missing = 0;
  #closed = false;

  /** It owns `trunk` from now on. */
  constructor(trunk: Duplex) {
    this.#trunk = trunk;
    trunk.on('data', (chunk: Buffer) => {
      this.#take(chunk);
    });
    trunk.once('end', () => {
      for (const connection of this.#connections.values()) {
        connection.push(null);
      }
      this.close();
    });
    trunk.on('error', (cause: Error) => {
      this.close(new RuntimeError('unavailable', 'nri: connection', { cause }));
    });
    trunk.once('close', () => {
      this.close();
    });
  }

  /** The stream with this number; each write is one message. To be opened before the peer sends on it. */
  open(id: number): Duplex {
    const connection = new MuxConnection({
      write: (message, done) => {
        this.#write(id, message, done);
      },
      flow: () => {
        this.#flow();
      },
      destroyed: () => {
        this.close();
      },
    });
    this.#connections.set(id, connection);
    return connection;
  }

  /** Ends all connections and the trunk. */
  close(cause?: RuntimeError): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    this.#trunk.destroy();
    for (const connection of this.#connections.values()) {
      connection.destroy(cause);
    }
  }

  #write(id: number, message: Buffer, done: (error?: Error | null) => void): void {
    const first = message.subarray(0, firstFrameBytes);
    const rest = message.subarray(firstFrameBytes);
    const parts = [headerOf(id, first), first];
    if (rest.length > 0) {
      parts.push(headerOf(id, rest), rest);
    }
    this.#trunk.write(Buffer.concat(parts), done);
  }

  #take(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#closed) {
      if (this.#headerLength < headerBytes) {
        const part = chunk.subarray(at, at + headerBytes - this.#headerLength);
        this.#header.set(part, this.#headerLength);
        this.#headerLength += part.length;
        at += part.length;
        this.#beginFrame();
      } else {
        const part = chunk.subarray(at, at + this.#missing);
        at += part.length;
        this.#missing -= part.length;
        if (this.#missing === 0) {
          this.#headerLength = 0;
        }
        this.#connections.get(this.#header.readUInt32BE(0))?.push(part);
      }
    }
    this.#flow();
  }

  #beginFrame(): void {
    if (this.#headerLength < headerBytes) {
      return;
    }
    this.#missing = this.#header.readUInt32BE(4);
    if (this.#missing > maxPayloadBytes) {
      const words = `nri: a frame of ${this.#missing} bytes, of ${maxPayloadBytes} at most`;
      this.close(new RuntimeError('invalid-argument', words));
    } else if (this.#missing === 0) {
      this.#headerLength = 0;
    }
  }

  /** Whoever does not read holds up all that share the trunk: it can't be told apart on the wire. */
  #flow(): void {
    const isFull = [...this.#connections.values()].some(
      (connection) => connection.readableLength > connection.readableHighWaterMark,
    );
    if (isFull) {
      this.#trunk.pause();
    } else if (this.#trunk.isPaused()) {
      this.#trunk.resume();
    }
  }
}

interface Link {
  write(message: Buffer, done: (error?: Error | null) => void): void;
  flow(): void;
  destroyed(): void;
}

class MuxConnection extends Duplex {
  readonly #link: Link;

  constructor(link: Link) {
    // What is buffered is bounded by the trunk's pause, one chunk above the mark.
    super({ readableHighWaterMark: 1 << 20 });
    this.#link = link;
  }

  override _read(): void {
    this.#link.flow();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#link.write(chunk, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#link.destroyed();
    done(error);
  }
}

function headerOf(id: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(id, 0);
  header.writeUInt32BE(payload.length, 4);
  return header;
}

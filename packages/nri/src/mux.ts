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
/** Until a socket that took no more is tried again. */
const noRoomMs = 5;

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
  /** Writes that wait for a last byte; undefined where none is outstanding. */
  #held: (() => void)[] | undefined;

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

  /**
   * Writes a message of that connection but for its last byte. That one `sendLast` sends, past the
   * stream, once all before it is with the kernel; false says that there is no room, and it is asked
   * again. What it throws ends the trunk. Other messages wait meanwhile.
   */
  writeLastApart(id: number, message: Buffer, sendLast: SendLast, done: Done): void {
    this.#inTurn(() => {
      const bytes = framed(id, message);
      this.#held = [];
      this.#trunk.write(bytes.subarray(0, -1), (error) => {
        if (error == null) {
          this.#sendLast(bytes.readUInt8(bytes.length - 1), sendLast, done);
        } else {
          done(error);
        }
      });
    });
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
    this.#release();
  }

  #write(id: number, message: Buffer, done: Done): void {
    this.#inTurn(() => {
      this.#trunk.write(framed(id, message), done);
    });
  }

  #inTurn(write: () => void): void {
    if (this.#held === undefined || this.#closed) {
      write();
    } else {
      this.#held.push(write);
    }
  }

  #sendLast(byte: number, sendLast: SendLast, done: Done): void {
    if (this.#closed) {
      done(new RuntimeError('unavailable', 'nri: connection closed'));
      return;
    }
    try {
      if (!sendLast(byte)) {
        setTimeout(() => {
          this.#sendLast(byte, sendLast, done);
        }, noRoomMs);
        return;
      }
    } catch (cause) {
      const error = new RuntimeError('unavailable', 'nri: connection', { cause });
      this.close(error);
      done(error);
      return;
    }
    this.#release();
    done();
  }

  /** Lets those go that were held; one of them may hold the rest again. */
  #release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const write of held) {
      this.#inTurn(write);
    }
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

/** Sends a byte on the trunk's own socket; false where it takes none now. */
export type SendLast = (byte: number) => boolean;

type Done = (error?: Error | null) => void;

interface Link {
  write(message: Buffer, done: Done): void;
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

  override _write(chunk: Buffer, _: BufferEncoding, done: Done): void {
    this.#link.write(chunk, done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#link.destroyed();
    done(error);
  }
}

function framed(id: number, message: Buffer): Buffer {
  const first = message.subarray(0, firstFrameBytes);
  const rest = message.subarray(firstFrameBytes);
  const parts = [headerOf(id, first), first];
  if (rest.length > 0) {
    parts.push(headerOf(id, rest), rest);
  }
  return Buffer.concat(parts);
}

function headerOf(id: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(id, 0);
  header.writeUInt32BE(payload.length, 4);
  return header;
}

import { RuntimeError } from '@gantry/errors';
import { framePrefixBytes } from './message-frame.ts';

const firstBytes = 64 << 10;

export interface RequestMessage {
  readonly isCompressed: boolean;
  readonly body: Buffer;
}

/**
 * Puts together the one message of a request from chunks that are cut anywhere.
 * What it throws is the answer to the call: `resource-exhausted` for a message
 * over `maxBytes`, `unimplemented` for none or more than one, `internal` for
 * what is no message.
 *
 * It holds at most twice the bytes that came: many small chunks are copied
 * into one buffer, as each would keep the whole buffer that it was read into;
 * and a length that is only promised is not allocated.
 */
export class MessageReader {
  readonly #maxBytes: number;
  #buffer: Buffer = Buffer.alloc(0);
  #filled = 0;
  /** Bytes of the prefix and the message, once the prefix is there. */
  #total: number | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(chunk: Buffer): void {
    if (this.#filled === 0) {
      this.#readPrefix(chunk);
      if (chunk.length === this.#total) {
        this.#buffer = chunk; // The usual case: no copy.
        this.#filled = chunk.length;
        return;
      }
    }
    this.#append(chunk);
    if (this.#total === undefined) {
      this.#readPrefix(this.#buffer.subarray(0, this.#filled));
    }
    if (this.#total !== undefined && this.#filled > this.#total) {
      throw new RuntimeError('unimplemented', 'read request: more than one message');
    }
  }

  /** The message, when the client has said that it sends no more. */
  end(): RequestMessage {
    if (this.#filled === 0) {
      throw new RuntimeError('unimplemented', 'read request: no message');
    }
    if (this.#filled !== this.#total) {
      const wanted = this.#total ?? framePrefixBytes;
      throw new RuntimeError(
        'internal',
        `read request: ended after ${this.#filled} of ${wanted} bytes`,
      );
    }
    return {
      isCompressed: this.#buffer[0] === 1,
      body: this.#buffer.subarray(framePrefixBytes, this.#filled),
    };
  }

  #readPrefix(bytes: Buffer): void {
    const [flag = 0] = bytes;
    if (flag > 1) {
      throw new RuntimeError('internal', `read request: a message can't begin with byte ${flag}`);
    }
    if (bytes.length < framePrefixBytes) {
      return;
    }
    const length = bytes.readUInt32BE(1);
    if (length > this.#maxBytes) {
      throw new RuntimeError(
        'resource-exhausted',
        `read request: a message of ${length} bytes is larger than max (${this.#maxBytes} bytes)`,
      );
    }
    this.#total = framePrefixBytes + length;
  }

  #append(chunk: Buffer): void {
    const end = this.#filled + chunk.length;
    if (end > this.#buffer.length) {
      const doubled = Math.max(firstBytes, 2 * this.#buffer.length);
      const grown = Buffer.allocUnsafeSlow(
        Math.max(end, Math.min(doubled, this.#total ?? firstBytes)),
      );
      this.#buffer.copy(grown, 0, 0, this.#filled);
      this.#buffer = grown;
    }
    chunk.copy(this.#buffer, this.#filled);
    this.#filled = end;
  }
}

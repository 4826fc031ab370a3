import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { dictionary, dictionaryId } from './dictionary.ts';
import type { SpdyLimits } from './limits.ts';
import { protocolError } from './spdy-error.ts';

/** Names are lower case; several values of one name are joined by a NUL. */
export type SpdyHeaders = ReadonlyMap<string, string>;

const windowBytes = 32 * 1024;
const zlibHeaderBytes = 6;
const syncMarker = Buffer.from([0, 0, 0xff, 0xff]);

/**
 * The plaintext that a zlib stream can still refer to. With it each block is
 * (de)compressed by one synchronous call, so that frames keep their order and
 * no native state outlives a call.
 */
class History {
  #window = dictionary;

  get window(): Buffer {
    return this.#window;
  }

  add(plain: Buffer): void {
    const joined = Buffer.concat([this.#window, plain]);
    this.#window =
      joined.length <= windowBytes
        ? joined
        : Buffer.from(joined.subarray(joined.length - windowBytes));
  }
}

/** The compressing end of one direction of a connection. */
export class HeaderEncoder {
  readonly #history = new History();
  #begun = false;

  encode(headers: SpdyHeaders): Buffer {
    const plain = writeBlock(headers);
    const block = deflateRawSync(plain, {
      dictionary: this.#history.window,
      level: constants.Z_BEST_COMPRESSION,
      finishFlush: constants.Z_SYNC_FLUSH,
    });
    this.#history.add(plain);
    if (this.#begun) {
      return block;
    }
    this.#begun = true;
    const header = Buffer.from([0x78, 0xf9, 0, 0, 0, 0]);
    header.writeUInt32BE(dictionaryId, 2);
    return Buffer.concat([header, block]);
  }
}

/** The inflating end of one direction of a connection. */
export class HeaderDecoder {
  readonly #history = new History();
  readonly #limits: SpdyLimits;
  #begun = false;

  constructor(limits: SpdyLimits) {
    this.#limits = limits;
  }

  /** Throws SpdyError; the connection can't go on after that, its history is lost. */
  decode(block: Buffer): SpdyHeaders {
    let raw = block;
    if (!this.#begun) {
      checkZlibHeader(block);
      this.#begun = true;
      raw = block.subarray(zlibHeaderBytes);
    }
    const plain = this.#inflate(raw);
    this.#history.add(plain);
    return readBlock(plain, this.#limits.maxHeaders);
  }

  #inflate(raw: Buffer): Buffer {
    // Without the mark the next block would begin in the middle of a byte.
    if (!raw.subarray(-syncMarker.length).equals(syncMarker)) {
      throw protocolError('header block does not end with a sync flush');
    }
    try {
      // With `info` Node gives the engine too, which its types do not tell.
      const { buffer, engine } = inflateRawSync(raw, {
        dictionary: this.#history.window,
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: this.#limits.maxHeaderBlockBytes,
        info: true,
      }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
      if (engine.bytesWritten === raw.length) {
        return buffer;
      }
    } catch (cause) {
      const tooLarge = cause instanceof RangeError;
      throw protocolError(
        tooLarge
          ? `header block inflates to more than ${this.#limits.maxHeaderBlockBytes} bytes`
          : 'header block can not be inflated',
        { cause },
      );
    }
    throw protocolError('bytes after the end of the compressed headers');
  }
}

/** RFC 1950: method 8, a window of 32 KiB at most, a check, and our preset dictionary. */
function checkZlibHeader(block: Buffer): void {
  if (block.length < zlibHeaderBytes) {
    throw protocolError('header block without zlib header');
  }
  const flags = block.readUInt16BE(0);
  const isZlib = (flags & 0x0f00) === 0x0800 && flags >> 12 <= 7 && flags % 31 === 0;
  if (!isZlib || (flags & 0x20) === 0 || block.readUInt32BE(2) !== dictionaryId) {
    throw protocolError('header block does not begin with a zlib header of the SPDY/3 dictionary');
  }
}

function writeBlock(headers: SpdyHeaders): Buffer {
  const parts: Buffer[] = [uint32(headers.size)];
  for (const [name, value] of headers) {
    for (const text of [name.toLowerCase(), value]) {
      const bytes = Buffer.from(text, 'latin1');
      parts.push(uint32(bytes.length), bytes);
    }
  }
  return Buffer.concat(parts);
}

function readBlock(plain: Buffer, maxHeaders: number): SpdyHeaders {
  let at = 0;
  const number = (): number => {
    if (at + 4 > plain.length) {
      throw protocolError('header block is cut short');
    }
    at += 4;
    return plain.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (at + length > plain.length) {
      throw protocolError('header block is cut short');
    }
    at += length;
    return plain.toString('latin1', at - length, at);
  };
  const headers = new Map<string, string>();
  const count = number();
  if (count > maxHeaders) {
    throw protocolError(`${count} headers, more than ${maxHeaders}`);
  }
  for (let i = 0; i < count; i++) {
    const name = text();
    if (name === '' || name !== name.toLowerCase() || headers.has(name)) {
      throw protocolError('header name is empty, not lower case or there twice');
    }
    headers.set(name, text());
  }
  if (at !== plain.length) {
    throw protocolError('bytes after the last header');
  }
  return headers;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

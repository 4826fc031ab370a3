import { readInt64 } from './byte-writer.ts';

/** Reads what a `ByteWriter` wrote. Throws a RangeError at the end of the bytes. */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#skip(1));
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#skip(2));
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#skip(4));
  }

  i64(): number {
    return readInt64(this.#bytes, this.#skip(8));
  }

  latin1(length: number): string {
    const at = this.#skip(length);
    return this.#bytes.toString('latin1', at, at + length);
  }

  /** A copy. */
  raw(length: number): Buffer {
    const at = this.#skip(length);
    return Buffer.from(this.#bytes.subarray(at, at + length));
  }

  #skip(count: number): number {
    if (count > this.left) {
      throw new RangeError('ends in the middle of an entry');
    }
    const at = this.#at;
    this.#at += count;
    return at;
  }
}

/** Writes numbers and strings one after the other, little-endian, into memory that grows. */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(64 << 10);
  #length = 0;

  u8(value: number): void {
    const at = this.#reserve(1);
    this.#bytes.writeUInt8(value, at);
  }

  u16(value: number): void {
    const at = this.#reserve(2);
    this.#bytes.writeUInt16LE(value, at);
  }

  u32(value: number): void {
    const at = this.#reserve(4);
    this.#bytes.writeUInt32LE(value, at);
  }

  /** A safe integer, negative or not, in eight bytes. */
  i64(value: number): void {
    const at = this.#reserve(8);
    writeInt64(this.#bytes, value, at);
  }

  latin1(text: string): void {
    const at = this.#reserve(text.length);
    this.#bytes.write(text, at, text.length, 'latin1');
  }

  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** What has been written so far; valid until the next write. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Makes room; `#bytes` may be another buffer afterwards. */
  #reserve(count: number): number {
    const at = this.#length;
    if (at + count > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, at + count));
      this.#bytes.copy(larger, 0, 0, at);
      this.#bytes = larger;
    }
    this.#length += count;
    return at;
  }
}

/** A safe integer in two's complement; without BigInt, for there are thousands. */
export function writeInt64(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value >>> 0, at);
  bytes.writeInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
}

const blockBytes = 16 * 1024;

/**
 * Bytes that wait for their reader. They are copied, small ones together: a
 * piece of one byte must not keep alive the 64 KiB that came in with it.
 */
export class ByteQueue {
  #blocks: { readonly bytes: Buffer; length: number }[] = [];
  #held = 0;

  /** The memory that is held, which may be more than the bytes in it. */
  get heldBytes(): number {
    return this.#held;
  }

  push(bytes: Buffer): void {
    const last = this.#blocks.at(-1);
    const count = last === undefined ? 0 : bytes.copy(last.bytes, last.length);
    if (last !== undefined) {
      last.length += count;
    }
    const rest = bytes.length - count;
    if (rest === 0) {
      return;
    }
    // The first block is small: most streams that wait at all wait with little.
    const size = Math.max(rest, last === undefined ? 1024 : blockBytes);
    const block = { bytes: Buffer.allocUnsafeSlow(size), length: rest };
    bytes.copy(block.bytes, 0, count);
    this.#blocks.push(block);
    this.#held += size;
  }

  shift(): Buffer | undefined {
    const block = this.#blocks.shift();
    if (block === undefined) {
      return undefined;
    }
    this.#held -= block.bytes.length;
    return block.bytes.subarray(0, block.length);
  }

  clear(): void {
    this.#blocks = [];
    this.#held = 0;
  }
}

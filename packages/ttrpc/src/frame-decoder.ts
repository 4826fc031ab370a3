import { type Frame, headerBytes, maxDataBytes } from './frame.ts';

/** The head of a frame whose data is above the limit; that is thrown away. */
export interface OversizeFrame extends Omit<Frame, 'data'> {
  readonly lengthBytes: number;
}

export interface FrameSink {
  frame(frame: Frame): void;
  oversize(frame: OversizeFrame): void;
}

/**
 * Finds the frames in a stream of bytes that comes in pieces of any size. It
 * holds one frame at most, and nothing of one that is above the limit.
 */
export class FrameDecoder {
  readonly #sink: FrameSink;
  readonly #limit: number;
  readonly #header = Buffer.alloc(headerBytes);
  #headerLength = 0;
  #pieces: Uint8Array[] = [];
  #missing = 0;
  #discards = false;

  constructor(sink: FrameSink, limit = maxDataBytes) {
    this.#sink = sink;
    this.#limit = limit;
  }

  /** True when a frame has begun and not ended. */
  get isInside(): boolean {
    return this.#headerLength > 0;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      at += this.#headerLength < headerBytes ? this.#takeHeader(chunk, at) : this.#take(chunk, at);
    }
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const part = chunk.subarray(at, at + headerBytes - this.#headerLength);
    this.#header.set(part, this.#headerLength);
    this.#headerLength += part.length;
    if (this.#headerLength === headerBytes) {
      this.#missing = this.#header.readUInt32BE(0);
      this.#discards = this.#missing > this.#limit;
      if (this.#discards) {
        // At once: who waits for it need not wait for all of it.
        this.#sink.oversize({ ...this.#head(), lengthBytes: this.#missing });
      }
      this.#finishWhenWhole();
    }
    return part.length;
  }

  #take(chunk: Uint8Array, at: number): number {
    const part = chunk.subarray(at, at + this.#missing);
    this.#missing -= part.length;
    if (!this.#discards) {
      // A copy: who pushes may use its buffer again.
      this.#pieces.push(Uint8Array.from(part));
    }
    this.#finishWhenWhole();
    return part.length;
  }

  #finishWhenWhole(): void {
    if (this.#missing > 0) {
      return;
    }
    const pieces = this.#pieces;
    this.#headerLength = 0;
    this.#pieces = [];
    if (!this.#discards) {
      const [only] = pieces;
      const data = pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
      this.#sink.frame({ ...this.#head(), data });
    }
  }

  #head(): Omit<Frame, 'data'> {
    return {
      streamId: this.#header.readUInt32BE(4),
      type: this.#header.readUInt8(8),
      flags: this.#header.readUInt8(9),
    };
  }
}

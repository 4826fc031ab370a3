import { decodeControl } from './decode.ts';
import { type ControlFrame, finFlag, frameHeaderBytes, version } from './frames.ts';
import { HeaderDecoder } from './header-block.ts';
import type { SpdyLimits } from './limits.ts';
import { protocolError } from './spdy-error.ts';

/** Who is told of frames, in the order of the wire. */
export interface FrameSink {
  control(frame: ControlFrame): void;
  /**
   * A piece of a DATA frame as it came in, maybe empty; `fin` with the last
   * piece of a frame that ends the stream. The bytes belong to the pushed chunk.
   */
  data(streamId: number, piece: Buffer, fin: boolean): void;
}

/**
 * Splits a stream of bytes, in pieces of any size, into frames. It holds one
 * control frame at most and never a DATA frame.
 */
export class FrameParser {
  readonly #sink: FrameSink;
  readonly #limits: SpdyLimits;
  readonly #headers: HeaderDecoder;
  readonly #frameHeader = Buffer.alloc(frameHeaderBytes);
  #frameHeaderLength = 0;
  /** The payload of the control frame under way. */
  #control: { type: number; flags: number; payload: Buffer; length: number } | undefined;
  /** The DATA frame under way. */
  #data: { streamId: number; fin: boolean; left: number } | undefined;

  constructor(sink: FrameSink, limits: SpdyLimits) {
    this.#sink = sink;
    this.#limits = limits;
    this.#headers = new HeaderDecoder(limits);
  }

  /** Throws SpdyError when the bytes break the protocol or a limit; push nothing after that. */
  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#data !== undefined) {
        rest = this.#takeData(this.#data, rest);
      } else if (this.#control !== undefined) {
        rest = this.#takeControl(this.#control, rest);
      } else {
        rest = this.#takeHeader(rest);
      }
    }
  }

  #takeHeader(chunk: Buffer): Buffer {
    const count = Math.min(frameHeaderBytes - this.#frameHeaderLength, chunk.length);
    chunk.copy(this.#frameHeader, this.#frameHeaderLength, 0, count);
    this.#frameHeaderLength += count;
    if (this.#frameHeaderLength === frameHeaderBytes) {
      this.#frameHeaderLength = 0;
      this.#begin(this.#frameHeader);
    }
    return chunk.subarray(count);
  }

  #begin(header: Buffer): void {
    const first = header.readUInt32BE(0);
    const flags = header.readUInt8(4);
    const length = header.readUIntBE(5, 3);
    if (first >= 0x80000000) {
      this.#beginControl((first >>> 16) & 0x7fff, first & 0xffff, flags, length);
      return;
    }
    if (first === 0) {
      throw protocolError('DATA for stream 0');
    }
    if ((flags & ~finFlag) !== 0) {
      throw protocolError(`DATA with flags ${flags}`);
    }
    const data = { streamId: first, fin: (flags & finFlag) !== 0, left: length };
    this.#data = data;
    if (length === 0) {
      this.#takeData(data, Buffer.alloc(0));
    }
  }

  #beginControl(frameVersion: number, type: number, flags: number, length: number): void {
    if (frameVersion !== version) {
      throw protocolError(`control frame of version ${frameVersion}`);
    }
    if (length > this.#limits.maxControlFrameBytes) {
      throw protocolError(
        `control frame of ${length} bytes, more than ${this.#limits.maxControlFrameBytes}`,
      );
    }
    const control = { type, flags, payload: Buffer.allocUnsafe(length), length: 0 };
    this.#control = control;
    if (length === 0) {
      this.#takeControl(control, Buffer.alloc(0));
    }
  }

  #takeControl(
    control: { type: number; flags: number; payload: Buffer; length: number },
    chunk: Buffer,
  ): Buffer {
    const count = Math.min(control.payload.length - control.length, chunk.length);
    chunk.copy(control.payload, control.length, 0, count);
    control.length += count;
    if (control.length === control.payload.length) {
      this.#control = undefined;
      const { type, flags, payload } = control;
      this.#sink.control(decodeControl(type, flags, payload, this.#headers));
    }
    return chunk.subarray(count);
  }

  #takeData(data: { streamId: number; fin: boolean; left: number }, chunk: Buffer): Buffer {
    const count = Math.min(data.left, chunk.length);
    data.left -= count;
    if (data.left === 0) {
      this.#data = undefined;
    }
    this.#sink.data(data.streamId, chunk.subarray(0, count), data.fin && data.left === 0);
    return chunk.subarray(count);
  }
}

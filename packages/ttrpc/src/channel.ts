import type { Duplex } from 'node:stream';
import { RuntimeError } from '@gantry/errors';
import { encodeFrame, type Frame } from './frame.ts';
import { FrameDecoder, type OversizeFrame } from './frame-decoder.ts';

export interface ChannelEvents {
  frame(frame: Frame): void;
  oversize(frame: OversizeFrame): void;
  /** Once; nothing comes after it. */
  closed(cause: RuntimeError): void;
}

/** Writes a frame in one piece, and says when that is done or has failed. */
export type WriteFrame = (frame: Buffer, done: (error?: Error | null) => void) => void;

/** Frames over a stream of bytes. It owns the stream: when one ends so does the other. */
export class Channel {
  readonly #stream: Duplex;
  readonly #limit: number;
  readonly #events: ChannelEvents;
  readonly #decoder: FrameDecoder;
  #cause: RuntimeError | undefined;

  constructor(stream: Duplex, events: ChannelEvents, limit: number) {
    this.#stream = stream;
    this.#limit = limit;
    this.#events = events;
    this.#decoder = new FrameDecoder(events, limit);
    stream.on('data', (chunk: Uint8Array) => {
      if (this.#cause === undefined) {
        this.#decoder.push(chunk);
      }
    });
    stream.once('end', () => {
      const where = this.#decoder.isInside ? ' in the middle of a frame' : '';
      this.close(new RuntimeError('unavailable', `ttrpc: the peer has left${where}`));
    });
    stream.on('error', (cause: Error) => {
      this.close(new RuntimeError('unavailable', 'ttrpc: connection', { cause }));
    });
    stream.once('close', () => {
      this.close(new RuntimeError('unavailable', 'ttrpc: connection closed'));
    });
  }

  readonly #write: WriteFrame = (bytes, done) => {
    this.#stream.write(bytes, done);
  };

  /** Why it is closed; undefined while it is not. */
  get cause(): RuntimeError | undefined {
    return this.#cause;
  }

  /**
   * Writes a frame in one piece; resolves when the stream has taken it. Throws
   * `resource-exhausted` above the limit, and then nothing was written.
   */
  async send(frame: Omit<Frame, 'flags'>, write: WriteFrame = this.#write): Promise<void> {
    const bytes = encodeFrame(frame, this.#limit);
    if (this.#cause !== undefined) {
      throw this.#cause;
    }
    await new Promise<void>((resolve, reject) => {
      write(bytes, (error) => {
        if (error == null) {
          resolve();
        } else {
          reject(this.#cause ?? new RuntimeError('unavailable', 'ttrpc: write', { cause: error }));
        }
      });
    });
  }

  /** Lets no more frames in until `resume`: the peer feels it. */
  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  close(cause: RuntimeError): void {
    if (this.#cause === undefined) {
      this.#cause = cause;
      this.#stream.destroy();
      this.#events.closed(cause);
    }
  }
}

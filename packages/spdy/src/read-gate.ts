import type { Duplex } from 'node:stream';
import type { SpdyLimits } from './limits.ts';
import type { SpdyStream } from './spdy-stream.ts';

/**
 * Decides when to stop reading the transport. SPDY has windows, spdystream does
 * not honour them: not reading is the only way to slow such a peer down, and
 * it slows all streams. So a stream may hold a good deal before that.
 */
export class ReadGate {
  readonly #transport: Duplex;
  readonly #limits: SpdyLimits;
  readonly #full = new Set<SpdyStream>();
  #held = 0;
  #pendingReplies = 0;
  #isOpen = true;
  #isForcedOpen = false;

  constructor(transport: Duplex, limits: SpdyLimits) {
    this.#transport = transport;
    this.#limits = limits;
  }

  /** A stream holds `delta` more (or fewer) bytes. */
  streamHolds(stream: SpdyStream, delta: number): void {
    this.#held += delta;
    if (stream.heldBytes > this.#limits.streamBufferBytes) {
      this.#full.add(stream);
    } else if (stream.heldBytes <= this.#limits.streamBufferBytes / 2) {
      this.#full.delete(stream);
    }
    this.#update();
  }

  /** Answers of `delta` more (or fewer) bytes wait in the transport. */
  repliesPending(delta: number): void {
    this.#pendingReplies += delta;
    this.#update();
  }

  /** From now on everything is read, since everything is dropped. */
  forceOpen(): void {
    this.#isForcedOpen = true;
    this.#update();
  }

  #update(): void {
    const isOpen =
      this.#isForcedOpen ||
      (this.#full.size === 0 &&
        this.#held <= this.#limits.connectionBufferBytes &&
        this.#pendingReplies <= this.#limits.maxPendingReplyBytes);
    if (isOpen === this.#isOpen) {
      return;
    }
    this.#isOpen = isOpen;
    if (isOpen) {
      this.#transport.resume();
    } else {
      this.#transport.pause();
    }
  }
}

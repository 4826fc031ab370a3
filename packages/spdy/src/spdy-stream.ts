import { Duplex } from 'node:stream';
import { ByteQueue } from './byte-queue.ts';
import type { SpdyHeaders } from './header-block.ts';
import { resetStatus, SpdyError } from './spdy-error.ts';

/** What a stream needs of its connection. */
export interface StreamLink {
  /** Sends SYN_REPLY. */
  reply(stream: SpdyStream, headers: SpdyHeaders): void;
  /** Sends DATA; `done` when the transport has taken it and the memory is free again. */
  send(
    id: number,
    chunks: readonly Buffer[],
    fin: boolean,
    done: (error?: Error | null) => void,
  ): void;
  reset(id: number, status: number): void;
  /** The stream holds `delta` more (or fewer) bytes than before. */
  held(stream: SpdyStream, delta: number): void;
  forget(stream: SpdyStream): void;
}

export interface StreamInit {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly isLocal: boolean;
  /** The peer does not want to hear of it. */
  readonly isReadOnly: boolean;
}

/**
 * One stream of a connection: a Duplex with half-close. `end()` sends FIN, the
 * peer's FIN ends the readable side, `destroy()` resets the stream unless both
 * sides had ended. When the peer resets it, what was received can still be
 * read, then it closes; writes fail, and 'reset' is emitted at once with the
 * status. Errors need no listener. Events beside Duplex's own: 'reset'
 * (status), 'headers' (SpdyHeaders of a HEADERS frame).
 */
export class SpdyStream extends Duplex {
  readonly id: number;
  /** Those it was opened with. */
  readonly headers: SpdyHeaders;
  /** Destroying it sends nothing: the peer goes on sending, and that is dropped. */
  quiet = false;
  readonly #link: StreamLink;
  readonly #queue = new ByteQueue();
  readonly #isLocal: boolean;
  #isReplied = false;
  #isReaderWaiting = false;
  #isRemoteFinished = false;
  #isLocalFinished: boolean;
  #isGone = false;
  #failure: SpdyError | undefined;
  #resetWith: number = resetStatus.cancel;

  constructor(link: StreamLink, { id, headers, isLocal, isReadOnly }: StreamInit) {
    super({ allowHalfOpen: true });
    this.id = id;
    this.headers = headers;
    this.#link = link;
    this.#isLocal = isLocal;
    this.#isLocalFinished = isReadOnly;
    // A stream that fails is closed; whoever uses it may listen, but need not.
    this.on('error', () => {});
    if (isReadOnly) {
      this.end();
    }
  }

  get isReplied(): boolean {
    return this.#isReplied;
  }

  /** The memory that unread data takes. */
  get heldBytes(): number {
    return this.#queue.heldBytes;
  }

  /** Agrees to a stream that the peer opened (SYN_REPLY). The first write does so by itself. */
  accept(headers: SpdyHeaders = new Map()): void {
    if (!this.#isLocal && !this.#isReplied && !this.destroyed && this.#failure === undefined) {
      this.#isReplied = true;
      this.#link.reply(this, headers);
    }
  }

  /** Ends both directions at once with RST_STREAM; data under way is lost. */
  reset(status: number = resetStatus.cancel): void {
    this.#resetWith = status;
    this.destroy();
  }

  /** Ends the readable side here: what the peer still sends on this stream is dropped. */
  ignoreInput(): void {
    this.#changeHeld(() => this.#queue.clear());
    this.finishRemote();
    this.resume();
  }

  /** For the connection: the peer agreed to the stream. */
  replied(fin: boolean): void {
    this.#isReplied = true;
    if (fin) {
      this.finishRemote();
    }
  }

  /** For the connection: DATA came. */
  receive(piece: Buffer): void {
    if (this.#isRemoteFinished || (this.#isLocal && !this.#isReplied)) {
      // spdystream, too, drops what comes before the reply or after the end.
      return;
    }
    if (this.#isReaderWaiting && this.#queue.heldBytes === 0) {
      this.#pushNow(piece.length < 1024 ? Buffer.from(piece) : piece);
      return;
    }
    this.#changeHeld(() => this.#queue.push(piece));
  }

  /** For the connection: FIN came. */
  finishRemote(): void {
    if (!this.#isRemoteFinished) {
      this.#isRemoteFinished = true;
      this.#feed();
      this.#forgetIfDone();
    }
  }

  /** For the connection: RST_STREAM came. */
  peerReset(status: number): void {
    const error = new SpdyError(
      'canceled',
      `spdy: stream ${this.id} was reset with status ${status}`,
    );
    this.#stop(error, true);
    this.emit('reset', status);
  }

  /** For the connection: nothing can be sent any more, and nothing more will come. */
  fail(error: SpdyError): void {
    this.#stop(error, this.#isRemoteFinished);
  }

  /** `isWhole`: what came before the end is still the reader's. */
  #stop(error: SpdyError, isWhole: boolean): void {
    this.#failure = error;
    this.#isGone = true;
    this.#isRemoteFinished = true;
    this.#link.forget(this);
    if (!isWhole) {
      this.destroy(error);
    } else if (this.readableEnded) {
      this.destroy();
    } else {
      this.once('end', () => this.destroy());
      this.#feed();
      // With nothing left to read, it must close though nobody reads.
      const isEmpty = this.readableLength === 0 && this.#queue.heldBytes === 0;
      if (isEmpty && this.readableFlowing === null) {
        this.resume();
      }
    }
  }

  override _read(): void {
    this.#isReaderWaiting = true;
    this.#feed();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#send([chunk], done);
  }

  override _writev(
    chunks: { readonly chunk: Buffer }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#send(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#failure !== undefined || this.#isLocalFinished) {
      done(this.#failure);
      return;
    }
    this.accept();
    this.#isLocalFinished = true;
    this.#link.send(this.id, [], true, done);
    this.#forgetIfDone();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#changeHeld(() => this.#queue.clear());
    const isDone = this.#isLocalFinished && this.#isRemoteFinished;
    if (!isDone && !this.#isGone && !this.quiet) {
      this.#link.reset(this.id, this.#resetWith);
    }
    this.#link.forget(this);
    done(error);
  }

  #send(chunks: readonly Buffer[], done: (error?: Error | null) => void): void {
    if (this.#failure !== undefined) {
      done(this.#failure);
      return;
    }
    this.accept();
    this.#link.send(this.id, chunks, false, done);
  }

  #feed(): void {
    while (this.#isReaderWaiting) {
      const chunk = this.#changeHeld(() => this.#queue.shift());
      if (chunk === undefined) {
        break;
      }
      this.#pushNow(chunk);
    }
    if (this.#isRemoteFinished && this.#queue.heldBytes === 0) {
      this.#isReaderWaiting = false;
      this.push(null);
    }
  }

  #pushNow(chunk: Buffer): void {
    // Cleared before: the reader may ask for more from inside push().
    this.#isReaderWaiting = false;
    if (this.push(chunk)) {
      this.#isReaderWaiting = true;
    }
  }

  #changeHeld<T>(change: () => T): T {
    const before = this.#queue.heldBytes;
    const result = change();
    const delta = this.#queue.heldBytes - before;
    if (delta !== 0) {
      this.#link.held(this, delta);
    }
    return result;
  }

  #forgetIfDone(): void {
    if (this.#isLocalFinished && this.#isRemoteFinished) {
      this.#link.forget(this);
    }
  }
}

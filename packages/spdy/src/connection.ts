import type { Duplex } from 'node:stream';
import { encodeControl } from './encode.ts';
import type { ControlFrame, GoAway, HeadersFrame, Ping, SynReply, SynStream } from './frames.ts';
import { HeaderEncoder, type SpdyHeaders } from './header-block.ts';
import { defaultLimits, type SpdyLimits } from './limits.ts';
import { FrameParser } from './parser.ts';
import { PingBook } from './ping-book.ts';
import { ReadGate } from './read-gate.ts';
import { protocolError, resetStatus, SpdyError } from './spdy-error.ts';
import { SpdyStream } from './spdy-stream.ts';
import { writeData } from './write-data.ts';

export interface SpdyConnectionOptions {
  readonly role: 'client' | 'server';
  /** Bytes of the peer that came in with the HTTP upgrade. */
  readonly head?: Buffer;
  /** Told of each stream that the peer opens; it must `accept()` or `reset()` it. Without it all are refused. */
  readonly onStream?: (stream: SpdyStream) => void;
  /** The connection ends when no byte was read or written for so long; 0 (the default) is never. */
  readonly idleTimeoutMs?: number;
  /** How often to ping the peer, so that neither side takes the connection for idle; 0 (the default) is never. */
  readonly pingIntervalMs?: number;
  /** After `close()`, how long to wait for the peer's end before the transport is destroyed; 30 s. */
  readonly lingerMs?: number;
  readonly limits?: Partial<SpdyLimits>;
}

const maxStreamId = 0x7fffffff;

/**
 * One SPDY/3.1 connection over any Duplex, which it owns from now on.
 *
 *     open --close()/dispose--> closing --peer's end, lingerMs--> gone
 *       \--peer's end, GOAWAY and end, bad frame, idle, destroy()--> gone
 */
export class SpdyConnection implements AsyncDisposable {
  /** Aborts when no stream can be used any more; the reason is a SpdyError that says why. */
  readonly gone: AbortSignal;
  /** Settles when the transport is closed. Never rejects. */
  readonly closed: Promise<void>;
  readonly #transport: Duplex;
  readonly #limits: SpdyLimits;
  readonly #onStream: ((stream: SpdyStream) => void) | undefined;
  readonly #lingerMs: number;
  readonly #gone = new AbortController();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #replies = new Map<number, PromiseWithResolvers<void>>();
  readonly #encoder = new HeaderEncoder();
  readonly #parser: FrameParser;
  readonly #gate: ReadGate;
  readonly #pings: PingBook;
  #idle: NodeJS.Timeout | undefined;
  readonly #pinger: NodeJS.Timeout | undefined;
  readonly #remoteParity: 0 | 1;
  #nextStreamId: number;
  #lastRemoteId = 0;
  #remoteStreams = 0;
  #isGoingAway = false;

  constructor(transport: Duplex, options: SpdyConnectionOptions) {
    const isClient = options.role === 'client';
    this.gone = this.#gone.signal;
    this.#transport = transport;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#onStream = options.onStream;
    this.#lingerMs = options.lingerMs ?? 30_000;
    this.#nextStreamId = isClient ? 1 : 2;
    this.#remoteParity = isClient ? 0 : 1;
    this.#parser = new FrameParser(
      {
        control: (frame) => this.#onControl(frame),
        data: (id, piece, fin) => this.#onData(id, piece, fin),
      },
      this.#limits,
    );
    this.#gate = new ReadGate(transport, this.#limits);
    this.#pings = new PingBook(isClient ? 1 : 2, (frame) => this.#write(frame));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    const { idleTimeoutMs = 0, pingIntervalMs = 0 } = options;
    if (idleTimeoutMs > 0) {
      const idle = new SpdyError('deadline-exceeded', `spdy: no frame for ${idleTimeoutMs} ms`);
      this.#idle = setTimeout(() => this.#abandon(idle), idleTimeoutMs);
    }
    if (pingIntervalMs > 0) {
      this.#pinger = setInterval(() => {
        this.ping().catch(() => {});
      }, pingIntervalMs);
    }
    if (options.head !== undefined && options.head.length > 0) {
      transport.unshift(options.head);
    }
    transport.on('error', (cause) => {
      this.#end(new SpdyError('unavailable', 'spdy: transport failed', { cause }));
    });
    transport.once('end', () => this.#onPeerEnd());
    const onClose = (): void => {
      this.#end(new SpdyError('unavailable', 'spdy: transport was closed'));
      resolve();
    };
    transport.once('close', onClose);
    if (transport.closed) {
      // It does not say so a second time.
      queueMicrotask(onClose);
    }
    transport.on('data', (chunk: Buffer) => this.#onBytes(chunk));
  }

  /**
   * Opens a stream; settles when the peer has replied. Rejects with SpdyError
   * when it refuses or the connection goes; an abort of `signal` resets it.
   */
  async open(
    headers: SpdyHeaders,
    { fin = false, signal }: { fin?: boolean; signal?: AbortSignal } = {},
  ): Promise<SpdyStream> {
    signal?.throwIfAborted();
    this.gone.throwIfAborted();
    if (this.#isGoingAway || this.#nextStreamId > maxStreamId) {
      throw new SpdyError('unavailable', 'spdy: the connection takes no more streams');
    }
    const id = this.#nextStreamId;
    this.#nextStreamId += 2;
    const stream = this.#newStream(id, headers, true, fin);
    const reply = Promise.withResolvers<void>();
    this.#replies.set(id, reply);
    stream.once('close', () => {
      reply.reject(stream.errored ?? new SpdyError('canceled', `spdy: stream ${id} was closed`));
    });
    stream.once('reset', (status: number) => {
      reply.reject(new SpdyError('canceled', `spdy: stream ${id} was refused, status ${status}`));
    });
    const cancel = (): void => {
      reply.reject(signal?.reason);
      stream.reset();
    };
    signal?.addEventListener('abort', cancel, { once: true });
    this.#write({
      type: 'syn-stream',
      streamId: id,
      associatedId: 0,
      priority: 0,
      headers,
      fin,
      unidirectional: false,
    });
    try {
      await reply.promise;
      return stream;
    } finally {
      this.#replies.delete(id);
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** The round trip in ms. Rejects when the connection goes. */
  ping(): Promise<number> {
    return this.gone.aborted ? Promise.reject(this.#reason()) : this.#pings.ping();
  }

  /**
   * Resets the streams that have not ended, says GOAWAY, ends the transport and
   * drops what still comes, until the peer ends too or `lingerMs` are over: a
   * socket that is closed with unread input loses what it had yet to send.
   */
  close(): Promise<void> {
    this.#abandon(new SpdyError('canceled', 'spdy: connection was closed'));
    return this.closed;
  }

  /** Ends all at once; what the transport has not sent is lost. */
  destroy(error: SpdyError = new SpdyError('canceled', 'spdy: connection was destroyed')): void {
    this.#end(error);
    this.#transport.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #onBytes(chunk: Buffer): void {
    if (this.gone.aborted) {
      return;
    }
    this.#idle?.refresh();
    try {
      this.#parser.push(chunk);
    } catch (error) {
      this.#abandon(
        error instanceof SpdyError ? error : protocolError('bad frame', { cause: error }),
      );
    }
  }

  #onControl(frame: ControlFrame): void {
    if (this.gone.aborted) {
      return;
    }
    switch (frame.type) {
      case 'syn-stream':
        this.#onSynStream(frame);
        break;
      case 'syn-reply':
        this.#onSynReply(frame);
        break;
      case 'headers':
        this.#onHeaders(frame);
        break;
      case 'rst-stream':
        this.#streams.get(frame.streamId)?.peerReset(frame.status);
        break;
      case 'ping':
        this.#onPing(frame);
        break;
      case 'goaway':
        this.#onGoAway(frame);
        break;
      case 'settings':
      case 'window-update':
        // Nobody who speaks like spdystream keeps to either.
        break;
    }
  }

  #onSynStream({ streamId: id, headers, fin, unidirectional }: SynStream): void {
    if (this.#isGoingAway) {
      return;
    }
    if (id % 2 !== this.#remoteParity || id <= this.#lastRemoteId) {
      this.#writeReply({ type: 'rst-stream', streamId: id, status: resetStatus.protocolError });
      return;
    }
    this.#lastRemoteId = id;
    if (this.#onStream === undefined || this.#remoteStreams >= this.#limits.maxStreams) {
      this.#writeReply({ type: 'rst-stream', streamId: id, status: resetStatus.refusedStream });
      return;
    }
    this.#remoteStreams += 1;
    const stream = this.#newStream(id, headers, false, unidirectional);
    if (fin) {
      stream.finishRemote();
    }
    this.#onStream(stream);
  }

  #onSynReply({ streamId, fin }: SynReply): void {
    const stream = this.#streams.get(streamId);
    const reply = this.#replies.get(streamId);
    // A second reply, or one to the peer's own stream, means nothing.
    if (stream !== undefined && reply !== undefined && !stream.isReplied) {
      stream.replied(fin);
      reply.resolve();
    }
  }

  #onHeaders({ streamId, headers, fin }: HeadersFrame): void {
    const stream = this.#streams.get(streamId);
    stream?.emit('headers', headers);
    if (fin) {
      stream?.finishRemote();
    }
  }

  #onPing(frame: Ping): void {
    if (frame.id % 2 === this.#remoteParity) {
      this.#writeReply(frame);
    } else {
      this.#pings.answered(frame.id);
    }
  }

  #onGoAway(_frame: GoAway): void {
    // The peer takes no new streams; those under way go on until it closes.
    this.#isGoingAway = true;
  }

  #onData(id: number, piece: Buffer, fin: boolean): void {
    if (this.gone.aborted) {
      return;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      // Streams that have ended may still get data that was under way.
      const isKnown =
        id % 2 === this.#remoteParity ? id <= this.#lastRemoteId : id < this.#nextStreamId;
      if (!isKnown) {
        throw protocolError(`DATA for stream ${id}, which nobody opened`);
      }
      return;
    }
    if (piece.length > 0) {
      stream.receive(piece);
    }
    if (fin) {
      stream.finishRemote();
    }
  }

  #newStream(id: number, headers: SpdyHeaders, isLocal: boolean, isReadOnly: boolean): SpdyStream {
    const stream = new SpdyStream(
      {
        reply: (replied, replyHeaders) =>
          this.#writeReply({
            type: 'syn-reply',
            streamId: replied.id,
            headers: replyHeaders,
            fin: false,
          }),
        send: (streamId, chunks, fin, done) => {
          this.#idle?.refresh();
          writeData(this.#transport, streamId, chunks, fin, done);
        },
        reset: (streamId, status) => this.#writeReply({ type: 'rst-stream', streamId, status }),
        held: (holder, delta) => this.#gate.streamHolds(holder, delta),
        forget: (ended) => this.#forget(ended, isLocal),
      },
      { id, headers, isLocal, isReadOnly },
    );
    this.#streams.set(id, stream);
    return stream;
  }

  #forget(stream: SpdyStream, isLocal: boolean): void {
    if (this.#streams.delete(stream.id) && !isLocal) {
      this.#remoteStreams -= 1;
    }
  }

  #write(frame: ControlFrame, done?: () => void): number {
    if (this.#transport.writableEnded || this.#transport.destroyed) {
      return 0;
    }
    this.#idle?.refresh();
    const bytes = encodeControl(frame, this.#encoder);
    this.#transport.write(bytes, done);
    return bytes.length;
  }

  /** A frame that the peer made us send: it must not be able to pile them up. */
  #writeReply(frame: ControlFrame): void {
    let length = 0;
    length = this.#write(frame, () => this.#gate.repliesPending(-length));
    this.#gate.repliesPending(length);
  }

  #reason(): SpdyError {
    return this.gone.reason as SpdyError;
  }

  #onPeerEnd(): void {
    this.#end(new SpdyError('unavailable', 'spdy: the peer closed the connection'));
    this.#transport.end();
    this.#lingerThenDestroy();
  }

  /** The orderly end from this side, whatever the reason. */
  #abandon(error: SpdyError): void {
    if (this.gone.aborted) {
      return;
    }
    for (const stream of [...this.#streams.values()]) {
      stream.quiet = false;
      stream.destroy(error.kind === 'canceled' ? undefined : error);
    }
    const status = error.kind === 'invalid-argument' ? resetStatus.protocolError : 0;
    this.#write({ type: 'goaway', lastStreamId: this.#lastRemoteId, status });
    this.#end(error);
    this.#transport.end();
    this.#lingerThenDestroy();
  }

  #lingerThenDestroy(): void {
    const timer = setTimeout(() => this.#transport.destroy(), this.#lingerMs);
    this.#transport.once('close', () => clearTimeout(timer));
    this.#gate.forceOpen();
  }

  #end(error: SpdyError): void {
    if (this.gone.aborted) {
      return;
    }
    clearTimeout(this.#idle);
    this.#idle = undefined;
    clearInterval(this.#pinger);
    this.#gone.abort(error);
    this.#pings.fail(error);
    for (const stream of [...this.#streams.values()]) {
      stream.fail(error);
    }
  }
}

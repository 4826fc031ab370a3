import { RuntimeError } from '@gantry/errors';
import type { WebSocket } from 'ws';
import { closeChannel } from './protocols.ts';

export interface ChannelHandlers {
  /** The bytes may share memory with other messages. */
  message(channel: number, payload: Buffer): void;
  /** v5: the client will send nothing more on `channel`. */
  closed(channel: number): void;
}

export interface ChannelSocketOptions {
  readonly isBase64: boolean;
  /** v5 has a message that closes a channel. */
  readonly hasCloseSignal: boolean;
  /** 0 is never. */
  readonly idleTimeoutMs: number;
  readonly handlers: ChannelHandlers;
}

const normalClosure = 1000;
const protocolFault = 1002;
const maxReasonBytes = 120;
const base64Text = /^[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*$/;

/** Numbered channels over one WebSocket (k8s.io/streaming, wsstream). */
export class ChannelSocket {
  /** Aborts when nothing more can be sent; the reason is an Error. */
  readonly gone: AbortSignal;
  /** Settles when the connection is closed. Never rejects. */
  readonly closed: Promise<void>;
  readonly #socket: WebSocket;
  readonly #options: ChannelSocketOptions;
  readonly #gone = new AbortController();
  readonly #full = new Set<unknown>();
  #idle: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, options: ChannelSocketOptions) {
    this.#socket = socket;
    this.#options = options;
    this.gone = this.#gone.signal;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    const { idleTimeoutMs } = options;
    if (idleTimeoutMs > 0) {
      this.#idle = setTimeout(() => {
        this.fail(new RuntimeError('deadline-exceeded', `no message for ${idleTimeoutMs} ms`));
      }, idleTimeoutMs);
    }
    socket.on('message', (data: Buffer) => this.#onMessage(data));
    socket.on('ping', () => this.#idle?.refresh());
    socket.on('pong', () => this.#idle?.refresh());
    socket.on('error', (cause) => {
      const kind =
        'code' in cause && String(cause.code).startsWith('WS_ERR')
          ? 'invalid-argument'
          : 'unavailable';
      this.#end(new RuntimeError(kind, 'websocket failed', { cause }));
    });
    socket.on('close', (code) => {
      this.#end(new RuntimeError('unavailable', `websocket was closed with code ${code}`));
      resolve();
    });
  }

  /** `done` when the transport has taken the bytes. */
  send(channel: number, payload: Buffer, done: (error?: Error | null) => void = () => {}): void {
    this.#idle?.refresh();
    if (this.#options.isBase64) {
      this.#socket.send(`${channel}${payload.toString('base64')}`, { binary: false }, done);
      return;
    }
    const message = Buffer.allocUnsafe(payload.length + 1);
    message[0] = channel;
    payload.copy(message, 1);
    this.#socket.send(message, { binary: true }, done);
  }

  /** Nothing is read while any `holder` is full. */
  setFull(holder: unknown, isFull: boolean): void {
    if (isFull) {
      this.#full.add(holder);
      this.#socket.pause();
    } else if (this.#full.delete(holder) && this.#full.size === 0) {
      this.#socket.resume();
    }
  }

  /** The orderly end; what still comes is dropped. */
  close(): Promise<void> {
    this.#close(new RuntimeError('canceled', 'websocket was closed'), normalClosure, '');
    return this.closed;
  }

  /** Ends the connection and tells the client that it is to blame. */
  fail(error: Error): void {
    this.#close(error, protocolFault, error.message);
  }

  /** Ends all at once. */
  destroy(error: Error): void {
    this.#end(error);
    this.#socket.terminate();
  }

  #close(error: Error, code: number, reason: string): void {
    if (this.gone.aborted) {
      return;
    }
    this.#end(error);
    this.#socket.close(code, Buffer.from(reason).subarray(0, maxReasonBytes).toString('latin1'));
  }

  #end(error: Error): void {
    clearTimeout(this.#idle);
    this.#idle = undefined;
    this.#full.clear();
    // The answer to our close frame waits behind what the client still sends.
    if (this.#socket.isPaused) {
      this.#socket.resume();
    }
    if (!this.gone.aborted) {
      this.#gone.abort(error);
    }
  }

  #onMessage(data: Buffer): void {
    this.#idle?.refresh();
    const first = data[0];
    if (first === undefined || this.gone.aborted) {
      return;
    }
    if (this.#options.hasCloseSignal && first === closeChannel) {
      const channel = data[1];
      if (channel === undefined || data.length !== 2) {
        this.fail(new RuntimeError('invalid-argument', 'close signal without one channel number'));
        return;
      }
      this.#options.handlers.closed(channel);
      return;
    }
    if (!this.#options.isBase64) {
      this.#options.handlers.message(first, data.subarray(1));
      return;
    }
    const text = data.toString('latin1', 1);
    if (!base64Text.test(text)) {
      this.fail(new RuntimeError('invalid-argument', 'message is not base64'));
      return;
    }
    this.#options.handlers.message(first - '0'.charCodeAt(0), Buffer.from(text, 'base64'));
  }
}

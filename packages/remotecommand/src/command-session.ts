import { finished, type Readable, type Writable } from 'node:stream';
import { encodeStatus } from './command-status.ts';
import type { Latest } from './latest.ts';
import type { CommandStatus, RemoteCommandSession, TerminalSize } from './session.ts';

/** How a session reaches its client. */
export interface CommandWires {
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** Writes `text` (maybe nothing) to the error stream or channel, and ends it where it can be ended. */
  sendStatus(text: string): Promise<void>;
  /** The orderly end; settles when the connection is closed. */
  close(): Promise<void>;
}

/** The life of a session, the same over SPDY and WebSocket. */
export class CommandSession implements RemoteCommandSession {
  readonly protocol: string;
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  readonly resizes: AsyncIterable<TerminalSize>;
  readonly gone: AbortSignal;
  readonly #wires: CommandWires;
  readonly #version: string;
  readonly #gone = new AbortController();
  readonly #sizes: Latest<TerminalSize>;
  #end: Promise<void> | undefined;
  #isClosing = false;

  /** `version` rules how the status is told, `protocol` is its name on the wire. */
  constructor(
    wires: CommandWires,
    init: { protocol: string; version: string; sizes: Latest<TerminalSize> },
  ) {
    this.protocol = init.protocol;
    this.#version = init.version;
    this.#wires = wires;
    this.#sizes = init.sizes;
    this.resizes = init.sizes;
    this.gone = this.#gone.signal;
    if (wires.stdin !== undefined) {
      this.stdin = wires.stdin;
    }
    if (wires.stdout !== undefined) {
      this.stdout = wires.stdout;
    }
    if (wires.stderr !== undefined) {
      this.stderr = wires.stderr;
    }
  }

  /** The connection is lost, or must not be used any more. Does nothing once this side has closed it. */
  lose(reason: unknown): void {
    if (!this.#isClosing) {
      this.#sizes.end();
      this.#gone.abort(reason);
    }
  }

  finish(status: CommandStatus): Promise<void> {
    this.#end ??= this.#finish(status);
    return this.#end;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end ??= this.#close();
    await this.#end;
  }

  async #finish(status: CommandStatus): Promise<void> {
    // The command is gone: what its client still types must not hold anything up.
    this.stdin?.destroy();
    await this.#unlessGone(Promise.all([flush(this.stdout), flush(this.stderr)]));
    if (!this.gone.aborted) {
      await this.#unlessGone(this.#wires.sendStatus(encodeStatus(this.#version, status)));
    }
    await this.#close();
  }

  async #close(): Promise<void> {
    this.#isClosing = true;
    this.#sizes.end();
    this.stdin?.destroy();
    await this.#wires.close();
  }

  async #unlessGone(work: Promise<unknown>): Promise<void> {
    if (this.gone.aborted) {
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = (): void => resolve();
    this.gone.addEventListener('abort', stop, { once: true });
    // A write that fails means that the client is going; `gone` tells why.
    await Promise.race([work.catch(() => {}), promise]);
    this.gone.removeEventListener('abort', stop);
  }
}

function flush(stream: Writable | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (stream === undefined || stream.destroyed || stream.writableFinished) {
    resolve();
    return promise;
  }
  finished(stream, { readable: false }, () => resolve());
  stream.end();
  return promise;
}

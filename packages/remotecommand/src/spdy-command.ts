import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { kindOf, RuntimeError } from '@gantry/errors';
import { SpdyConnection, type SpdyStream } from '@gantry/spdy';
import { CommandSession } from './command-session.ts';
import { encodeStatus } from './command-status.ts';
import { Latest } from './latest.ts';
import { hasResize } from './protocols.ts';
import { ReadSide } from './read-side.ts';
import { ResizeDecoder } from './resize-decoder.ts';
import type { RemoteCommandOptions, RemoteCommandSession, TerminalSize } from './session.ts';
import { writeSwitchingProtocols } from './upgrade.ts';

type StreamType = 'error' | 'stdin' | 'stdout' | 'stderr' | 'resize';

const streamTypes: ReadonlySet<string> = new Set(['error', 'stdin', 'stdout', 'stderr', 'resize']);
/** The five, and room for mistakes that are told rather than refused. */
const maxStreams = 16;

/** Serves exec or attach on a socket whose request asked for SPDY. */
export function acceptSpdyCommand(
  socket: Duplex,
  head: Buffer,
  protocol: string,
  options: RemoteCommandOptions,
): Promise<RemoteCommandSession> {
  writeSwitchingProtocols(socket, protocol);
  return new SpdyCommand(socket, head, protocol, options).session();
}

/**
 *     waiting --all streams are there--> running --finish, gone--> over
 *        \--timeout, wrong stream, gone--> over
 */
class SpdyCommand {
  readonly #options: RemoteCommandOptions;
  readonly #protocol: string;
  readonly #connection: SpdyConnection;
  readonly #streams = new Map<StreamType, SpdyStream>();
  readonly #needed: readonly StreamType[];
  readonly #complete = Promise.withResolvers<void>();
  readonly #sizes = new Latest<TerminalSize>();
  #session: CommandSession | undefined;

  constructor(socket: Duplex, head: Buffer, protocol: string, options: RemoteCommandOptions) {
    this.#options = options;
    this.#protocol = protocol;
    this.#needed = [
      'error',
      ...(['stdin', 'stdout', 'stderr'] as const).filter((type) => options[type]),
      ...(options.tty && hasResize(protocol) ? (['resize'] as const) : []),
    ];
    this.#connection = new SpdyConnection(socket, {
      role: 'server',
      head,
      idleTimeoutMs: options.idleTimeoutMs,
      limits: { maxStreams },
      onStream: (stream) => this.#onStream(stream),
    });
  }

  async session(): Promise<RemoteCommandSession> {
    const { signal, creationTimeoutMs } = this.#options;
    const { gone } = this.#connection;
    const timer = setTimeout(() => this.#fail(this.#missing()), creationTimeoutMs);
    const stop = (): void => {
      this.#lose(signal.reason);
      this.#connection.destroy();
    };
    signal.addEventListener('abort', stop, { once: true });
    gone.addEventListener('abort', () => {
      signal.removeEventListener('abort', stop);
      this.#lose(gone.reason);
    });
    if (signal.aborted) {
      stop();
    }
    try {
      await this.#complete.promise;
    } finally {
      clearTimeout(timer);
    }
    return this.#begin();
  }

  #begin(): CommandSession {
    const stdin = this.#wanted('stdin');
    const stdout = this.#wanted('stdout');
    const stderr = this.#wanted('stderr');
    const session = new CommandSession(
      {
        ...(stdin && { stdin: new ReadSide(stdin) }),
        ...(stdout && { stdout }),
        ...(stderr && { stderr }),
        sendStatus: (text) => this.#sendStatus(text),
        close: () => this.#connection.close(),
      },
      { protocol: this.#protocol, version: this.#protocol, sizes: this.#sizes },
    );
    this.#session = session;
    if (!this.#needed.includes('resize')) {
      this.#sizes.end();
    }
    return session;
  }

  #wanted(type: 'stdin' | 'stdout' | 'stderr'): SpdyStream | undefined {
    return this.#options[type] ? this.#streams.get(type) : undefined;
  }

  #onStream(stream: SpdyStream): void {
    const type = stream.headers.get('streamtype') ?? '';
    if (!streamTypes.has(type) || this.#streams.has(type as StreamType)) {
      stream.reset();
      const what = streamTypes.has(type) ? 'twice' : 'which is unknown';
      const name = JSON.stringify(type.slice(0, 80));
      this.#fail(new RuntimeError('invalid-argument', `client opened a stream ${name} ${what}`));
      return;
    }
    this.#streams.set(type as StreamType, stream);
    stream.accept();
    if (type === 'resize') {
      this.#readSizes(stream);
    } else if (type !== 'stdin' || !this.#options.stdin) {
      // Also those that the request did not ask for: they are there and mean nothing.
      stream.ignoreInput();
    }
    if (this.#needed.every((needed) => this.#streams.has(needed))) {
      this.#complete.resolve();
    }
  }

  #readSizes(stream: SpdyStream): void {
    const decoder = new ResizeDecoder();
    stream.on('data', (chunk: Buffer) => {
      try {
        for (const size of decoder.push(chunk)) {
          this.#sizes.put(size);
        }
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  async #sendStatus(text: string): Promise<void> {
    const stream = this.#streams.get('error');
    if (stream?.writable) {
      const done = once(stream, 'finish');
      stream.end(text === '' ? undefined : text);
      await done;
    }
  }

  #missing(): RuntimeError {
    const missing = this.#needed.filter((type) => !this.#streams.has(type));
    return new RuntimeError(
      'deadline-exceeded',
      `client did not open [${missing.join(', ')}] within ${this.#options.creationTimeoutMs} ms`,
    );
  }

  /** Tells the client what it did wrong, and ends the session. */
  #fail(error: unknown): void {
    if (this.#connection.gone.aborted) {
      return;
    }
    this.#lose(error);
    const message = error instanceof Error ? error.message : String(error);
    const stream = this.#streams.get('error');
    if (stream?.writable) {
      // Written before the reset that close() sends, so the client can read it.
      stream.end(encodeStatus(this.#protocol, { error: message }));
    }
    this.#connection.close().catch(() => {});
  }

  #lose(reason: unknown): void {
    const error = new RuntimeError(kindOf(reason), 'stream to client', { cause: reason });
    this.#complete.reject(error);
    this.#session?.lose(error);
  }
}

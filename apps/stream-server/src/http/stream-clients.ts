import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '@gantry/errors';
import type { Logger } from '@gantry/telemetry';
import { type StreamKind, TokenStore } from './token-store.ts';

const streamPath = /^\/(exec|attach|portforward)\/([\w-]{1,64})\/?(?:\?.*)?$/s;
const lastWordsMs = 1000;
const notFound = [
  'HTTP/1.1 404 Not Found',
  'Content-Type: text/plain; charset=utf-8',
  'Content-Length: 19',
  'Connection: close',
  '',
  '404 page not found\n',
].join('\r\n');

/** A client that has come for its stream. The socket is the receiver's. */
export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  /** Aborts when the server stops. */
  readonly signal: AbortSignal;
}

/** Serves a stream to its end; rejects when there was none. */
export type Serve = (upgrade: Upgrade) => Promise<void>;

/** The clients that are expected, and those that are served. */
export class StreamClients implements AsyncDisposable {
  readonly #tokens = new TokenStore<Serve>();
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #served = new Set<Promise<void>>();
  #isStopping = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** A token for one client. Throws `resource-exhausted`. */
  expect(kind: StreamKind, serve: Serve): string {
    return this.#tokens.add(kind, serve);
  }

  /** What the path of a request asks for; its token is used up with that. */
  take({ method, url = '' }: IncomingMessage): Serve | undefined {
    const [, kind = '', token = ''] = streamPath.exec(url) ?? [];
    return method === 'GET' || method === 'POST' ? this.#tokens.take(kind, token) : undefined;
  }

  /** Serves a request for an upgrade, which may be anyone's. */
  serve(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => undefined);
    const serve = this.#isStopping ? undefined : this.take(request);
    if (serve === undefined) {
      socket.end(notFound, () => {
        socket.destroy();
      });
      return;
    }
    socket.setTimeout(0);
    socket.setNoDelay(true);
    const served = serve({ request, socket, head, signal: this.#stop.signal })
      .catch((error: unknown) => {
        // The client was told, or is gone.
        this.#log.info({ reason: messageOf(error) }, 'a stream was not served');
      })
      .finally(() => this.#served.delete(served));
    this.#served.add(served);
  }

  /** Gives every stream a moment to tell its client why it ends, then ends it, and waits for that. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    await Promise.race([
      Promise.allSettled(this.#served),
      delay(lastWordsMs, undefined, { ref: false }),
    ]);
    this.#stop.abort(new DOMException('the stream server is stopping', 'AbortError'));
    await Promise.allSettled(this.#served);
  }
}

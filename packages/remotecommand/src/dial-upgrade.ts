import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { RuntimeError } from '@gantry/errors';
import { WebSocket } from 'ws';
import type { DialOptions } from './client.ts';
import { maxMessageBytes } from './protocols.ts';

const maxErrorBytes = 64 * 1024;

export interface Dialed {
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly protocol: string;
}

/** Asks for SPDY as client-go does. Rejects with what the server answered instead. */
export function dialSpdy(
  url: string,
  offered: readonly string[],
  { ca, headers, signal }: DialOptions,
): Promise<Dialed> {
  const { promise, resolve, reject } = Promise.withResolvers<Dialed>();
  const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(url, {
    method: 'POST',
    agent: false,
    ...(ca !== undefined && { ca }),
    ...(signal !== undefined && { signal }),
    headers: {
      ...headers,
      Connection: 'Upgrade',
      Upgrade: 'SPDY/3.1',
      'X-Stream-Protocol-Version': [...offered],
      'Content-Length': '0',
    },
  });
  request.once('upgrade', (response, socket, head) => {
    const protocol = String(response.headers['x-stream-protocol-version'] ?? '');
    const isSpdy = /^spdy\/3\.1$/i.test(response.headers.upgrade ?? '');
    if (!isSpdy || !offered.includes(protocol)) {
      socket.destroy();
      reject(
        new RuntimeError('unavailable', `server answered protocol ${JSON.stringify(protocol)}`),
      );
      return;
    }
    if (socket instanceof Socket) {
      socket.setNoDelay(true);
    }
    resolve({ socket, head, protocol });
  });
  request.once('response', (response) => {
    errorOf(response).then(reject, reject);
  });
  request.once('error', (cause) => reject(unreachable(url, cause, signal)));
  request.end();
  return promise;
}

export interface DialedWebSocket {
  /** Paused, so that nothing is lost until somebody listens. */
  readonly socket: WebSocket;
  readonly protocol: string;
}

/** Opens a WebSocket; an empty protocol is offered by naming none. Rejects with what the server answered instead. */
export async function dialWebSocket(
  url: string,
  offered: readonly string[],
  { ca, headers, signal }: DialOptions,
): Promise<DialedWebSocket> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<DialedWebSocket>();
  const names = offered.filter((name) => name !== '').join(', ');
  const socket = new WebSocket(url.replace(/^http/, 'ws'), [], {
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
    skipUTF8Validation: true,
    followRedirects: false,
    // `ws` takes a name with a slash, as the tunnel has one, for a syntax error: both the
    // question and the answer go past it.
    headers: { ...headers, ...(names !== '' && { 'Sec-WebSocket-Protocol': names }) },
    ...(ca !== undefined && { ca }),
  });
  let protocol = '';
  socket.once('upgrade', (response) => {
    protocol = response.headers['sec-websocket-protocol'] ?? '';
    delete response.headers['sec-websocket-protocol'];
  });
  const cancel = (): void => socket.terminate();
  signal?.addEventListener('abort', cancel, { once: true });
  const settle = (): void => signal?.removeEventListener('abort', cancel);
  socket.once('open', () => {
    settle();
    if (!offered.includes(protocol)) {
      socket.terminate();
      reject(
        new RuntimeError('unavailable', `server answered protocol ${JSON.stringify(protocol)}`),
      );
      return;
    }
    socket.pause();
    resolve({ socket, protocol });
  });
  socket.once('unexpected-response', (_request, response) => {
    errorOf(response).then(reject, reject);
  });
  socket.on('error', (cause) => {
    settle();
    reject(unreachable(url, cause, signal));
  });
  return promise;
}

/** What the server said, from a text or a JSON object with `message` or `error`. */
async function errorOf(response: IncomingMessage): Promise<RuntimeError> {
  let text = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.length > maxErrorBytes) {
      break;
    }
  }
  response.destroy();
  const kind = response.statusCode === 404 ? 'not-found' : 'unavailable';
  return new RuntimeError(kind, `server answered ${response.statusCode}: ${wordsIn(text)}`);
}

function wordsIn(text: string): string {
  try {
    const { message, error } = JSON.parse(text) as { message?: unknown; error?: unknown };
    const words = message ?? error;
    return typeof words === 'string' ? words : text.trim();
  } catch {
    return text.trim();
  }
}

function unreachable(url: string, cause: unknown, signal: AbortSignal | undefined): RuntimeError {
  const { origin } = new URL(url);
  // The path holds the token.
  return signal?.aborted === true
    ? new RuntimeError('canceled', `connect to ${origin}`, { cause: signal.reason })
    : new RuntimeError('unavailable', `connect to ${origin}`, { cause });
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { RuntimeError } from '@gantry/errors';

export interface Offer {
  /** What is spoken over SPDY/3.1. */
  readonly spdy: readonly string[];
  /** Sub-protocols of WebSocket; an empty name stands for a client that names none. */
  readonly webSocket: readonly string[];
}

export interface Upgrade {
  readonly transport: 'spdy' | 'websocket';
  readonly protocol: string;
}

interface Refusal {
  readonly status: number;
  readonly message: string;
  readonly headers?: readonly (readonly [string, string])[];
}

const protocolHeader = 'X-Stream-Protocol-Version';
/** Long enough for an error text to arrive before the socket is gone. */
const refusalLingerMs = 5000;

/**
 * Finds what client and server both speak: the first of the client's list.
 * Where there is nothing it answers 400 or 403, in the order of checks and with
 * the headers of the Go runtimes, and throws; the socket is then taken care of.
 */
export function negotiate(request: IncomingMessage, socket: Duplex, offer: Offer): Upgrade {
  const found = choose(request, offer);
  if ('message' in found) {
    throw refuse(socket, found);
  }
  return found;
}

/** Writes the error response, closes, and gives the error to throw. */
export function refuse(socket: Duplex, { status, message, headers = [] }: Refusal): RuntimeError {
  const body = `${message}\n`;
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: text/plain; charset=utf-8',
    'X-Content-Type-Options: nosniff',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  socket.on('error', () => {});
  const timer = setTimeout(() => socket.destroy(), refusalLingerMs);
  socket.once('close', () => clearTimeout(timer));
  socket.once('end', () => socket.destroy());
  socket.resume();
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
  return new RuntimeError('invalid-argument', message);
}

/**
 * Answers a request that came without the headers of an upgrade (an `http`
 * server tells of those by 'request'): 400, with what is missing.
 */
export function refuseWithoutUpgrade(request: IncomingMessage, response: ServerResponse): void {
  const found = choose(request, { spdy: [], webSocket: [] });
  const refusal = 'message' in found ? found : missingHeaders(request);
  response.writeHead(400, { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close' });
  response.end(`${refusal.status === 400 ? refusal.message : missingHeaders(request).message}\n`);
}

export function writeSwitchingProtocols(socket: Duplex, protocol: string): void {
  socket.write(
    [
      'HTTP/1.1 101 Switching Protocols',
      'Connection: Upgrade',
      'Upgrade: SPDY/3.1',
      `${protocolHeader}: ${protocol}`,
      '\r\n',
    ].join('\r\n'),
  );
}

function choose(request: IncomingMessage, offer: Offer): Upgrade | Refusal {
  const upgrade = listOf(request, 'upgrade').map((value) => value.toLowerCase());
  const isUpgrade = listOf(request, 'connection').some((v) => v.toLowerCase().includes('upgrade'));
  if (hasBody(request)) {
    return { status: 400, message: 'unable to upgrade: the request has a body' };
  }
  if (isUpgrade && upgrade.includes('websocket')) {
    const wanted = listOf(request, 'sec-websocket-protocol');
    return match('websocket', wanted.length === 0 ? [''] : wanted, offer.webSocket);
  }
  const wanted = listOf(request, protocolHeader.toLowerCase());
  if (wanted.length === 0) {
    const count = Object.keys(request.headers).length;
    return {
      status: 400,
      message: `unable to upgrade: header ${protocolHeader} does not exist in request with ${count} headers`,
    };
  }
  if (!isUpgrade || !upgrade.some((value) => value.includes('spdy/3.1'))) {
    return missingHeaders(request);
  }
  return match('spdy', wanted, offer.spdy);
}

function match(
  transport: Upgrade['transport'],
  wanted: readonly string[],
  offered: readonly string[],
): Upgrade | Refusal {
  const protocol = wanted.find((name) => offered.includes(name));
  if (protocol !== undefined) {
    return { transport, protocol };
  }
  const lists = `the client speaks [${wanted.join(', ')}], the server [${offered.join(', ')}]`;
  return {
    status: 403,
    message: `unable to upgrade: no protocol in common: ${lists}`,
    headers:
      transport === 'spdy'
        ? offered.map((name) => ['X-Accepted-Stream-Protocol-Versions', name])
        : [],
  };
}

function missingHeaders({ headers }: IncomingMessage): Refusal {
  const has = (value: unknown): string => JSON.stringify(value ?? '');
  return {
    status: 400,
    message: `unable to upgrade: missing upgrade headers in request: Connection ${has(headers.connection)}, Upgrade ${has(headers.upgrade)}`,
  };
}

/** Node joins the lines of a header by a comma, as clients send some lists. */
function listOf({ headers }: IncomingMessage, name: string): string[] {
  return String(headers[name] ?? '')
    .split(',')
    .map((value) => value.trim())
    .filter((value) => value !== '');
}

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'] ?? '0';
  return length !== '0' || headers['transfer-encoding'] !== undefined;
}

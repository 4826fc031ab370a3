import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import { acceptPortForward } from './accept-port-forward.ts';
import { acceptRemoteCommand } from './accept-remote-command.ts';
import type {
  PortForwardOptions,
  PortForwardSession,
  RemoteCommandOptions,
  RemoteCommandSession,
} from './session.ts';

type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** A server that hands each upgrade to `onUpgrade`; ends with the test. */
export async function startServer(t: TestContext, onUpgrade: Upgrade): Promise<string> {
  const server: Server = createServer();
  const sockets = new Set<Duplex>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('upgrade', onUpgrade);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) {
      socket.destroy();
    }
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
}

export interface Served<T> {
  readonly url: string;
  /** The session, or why there is none, of the first request. */
  readonly session: Promise<T>;
  /** Closed when the server has let go of the first request's connection. */
  readonly socketClosed: Promise<void>;
}

export const commandDefaults: Omit<RemoteCommandOptions, 'signal'> = {
  stdin: false,
  stdout: true,
  stderr: true,
  tty: false,
  idleTimeoutMs: 60_000,
  creationTimeoutMs: 10_000,
};

export function serveCommand(
  t: TestContext,
  options: Partial<RemoteCommandOptions> = {},
): Promise<Served<RemoteCommandSession>> {
  return serveWith(t, (request, socket, head, signal) =>
    acceptRemoteCommand(request, socket, head, { ...commandDefaults, signal, ...options }),
  );
}

export function servePorts(
  t: TestContext,
  options: Partial<PortForwardOptions> = {},
): Promise<Served<PortForwardSession>> {
  return serveWith(t, (request, socket, head, signal) =>
    acceptPortForward(request, socket, head, {
      ports: [],
      idleTimeoutMs: 60_000,
      creationTimeoutMs: 10_000,
      signal,
      ...options,
    }),
  );
}

async function serveWith<T>(
  t: TestContext,
  accept: (
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    signal: AbortSignal,
  ) => Promise<T>,
): Promise<Served<T>> {
  const abort = new AbortController();
  t.after(() => abort.abort());
  const session = Promise.withResolvers<T>();
  const closed = Promise.withResolvers<void>();
  session.promise.catch(() => {});
  const url = await startServer(t, (request, socket, head) => {
    socket.once('close', () => closed.resolve());
    accept(request, socket, head, abort.signal).then(session.resolve, session.reject);
  });
  return { url, session: session.promise, socketClosed: closed.promise };
}

/** Sends `lines` as a request and gives the socket; what it answers is the caller's to read. */
export async function rawRequest(
  t: TestContext,
  url: string,
  lines: readonly string[],
): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.after(() => socket.destroy());
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  await once(socket, 'connect');
  return socket;
}

export function spdyRequest(protocols: readonly string[]): string[] {
  return [
    'POST /token HTTP/1.1',
    'Host: gantry',
    'Connection: Upgrade',
    'Upgrade: SPDY/3.1',
    'Content-Length: 0',
    ...protocols.map((name) => `X-Stream-Protocol-Version: ${name}`),
  ];
}

export function webSocketRequest(protocol: string | undefined): string[] {
  return [
    'GET /token HTTP/1.1',
    'Host: gantry',
    'Connection: keep-alive, Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...(protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]),
  ];
}

import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import { isIPv6, Socket } from 'node:net';
import { RuntimeError } from '@gantry/errors';
import { hasCode } from '@gantry/host';
import type { Logger } from '@gantry/telemetry';
import { fastify } from 'fastify';
import { Certificates } from './certificates.ts';
import { type Serve, StreamClients } from './stream-clients.ts';
import type { StreamKind } from './token-store.ts';
import { WaitingSockets } from './waiting-sockets.ts';

export interface StreamHttpOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** How many ports from `port` on may be tried: instances on one node have one each. */
  readonly ports: number;
  /** Both empty: plain HTTP. */
  readonly certFile: string;
  readonly keyFile: string;
  readonly log: Logger;
}

export interface StreamHttp extends AsyncDisposable {
  /** The URL at which one client is served within a minute. Throws `resource-exhausted`. */
  url(kind: StreamKind, serve: Serve): string;
}

/** Of what comes before the upgrade. */
const limits = {
  connectionsCheckingInterval: 1000,
  headersTimeout: 10_000,
  maxHeaderSize: 16 << 10,
  requestTimeout: 10_000,
};
const maxWaiting = 256;
const notFound = '404 page not found\n';
const noUpgrade = 'unable to upgrade: missing upgrade headers in request\n';
const anyAddress = new Map([
  ['', '127.0.0.1'],
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
]);

/**
 * Listens for the clients of streams. All that a client says of its stream is
 * the token; the query of the URL means nothing, and a body is never read.
 * Stopping ends every stream and waits for that.
 */
export async function startStreamHttp(options: StreamHttpOptions): Promise<StreamHttp> {
  const { certFile, keyFile, log } = options;
  const isSecure = certFile !== '' || keyFile !== '';
  const clients = new StreamClients(log);
  const waiting = new WaitingSockets(maxWaiting);
  const app = fastify({
    logger: false,
    forceCloseConnections: true,
    // Ten seconds to start, fastify's own limit, are not enough on a busy host.
    pluginTimeout: 0,
    serverFactory: (handler) => {
      const server = isSecure
        ? secureServer(new Certificates(certFile, keyFile), handler, log)
        : createServer(limits, handler);
      server.prependListener('connection', (socket: Socket) => waiting.add(socket));
      server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
        waiting.delete(rawOf(request));
        clients.serve(request, socket, head);
      });
      return server;
    },
  });
  // Nobody gets farther than this, so that no body is ever read.
  app.addHook('onRequest', (request, reply) => {
    const isKnown = clients.take(request.raw) !== undefined;
    return reply
      .code(isKnown ? 400 : 404)
      .header('connection', 'close')
      .type('text/plain; charset=utf-8')
      .send(isKnown ? noUpgrade : notFound);
  });
  const port = await listen(app, options);
  const host = anyAddress.get(options.host) ?? options.host;
  const base = `${isSecure ? 'https' : 'http'}://${isIPv6(host) ? `[${host}]` : host}:${String(port)}`;
  return {
    url: (kind, serve) => `${base}/${kind}/${clients.expect(kind, serve)}`,
    [Symbol.asyncDispose]: async () => {
      const closed = app.close();
      await clients[Symbol.asyncDispose]();
      await closed;
    },
  };
}

/** A new certificate is taken with the next connection; the old one stays while the new does not fit its key. */
function secureServer(
  certificates: Certificates,
  handler: RequestListener,
  log: Logger,
): SecureServer {
  const server = createSecureServer(
    { ...limits, ...certificates.read(), minVersion: 'TLSv1.2' },
    handler,
  );
  server.prependListener('connection', () => {
    if (certificates.haveChanged()) {
      try {
        server.setSecureContext(certificates.read());
        log.info({}, 'took the new certificate for streaming');
      } catch (err) {
        log.warn({ err }, 'read the new certificate for streaming: the old one stays');
      }
    }
  });
  return server;
}

/** The connection that `waiting` knows: below TLS, where there is that. */
function rawOf({ socket }: IncomingMessage): Socket {
  return '_parent' in socket && socket._parent instanceof Socket ? socket._parent : socket;
}

async function listen(
  app: { listen(o: { host: string; port: number }): Promise<string>; server: Server },
  { host, port, ports }: StreamHttpOptions,
): Promise<number> {
  for (let tried = 0; ; tried += 1) {
    const candidate = port === 0 ? 0 : port + tried;
    try {
      await app.listen({ host: host === '' ? '127.0.0.1' : host, port: candidate });
      const address = app.server.address();
      return typeof address === 'object' && address !== null ? address.port : candidate;
    } catch (cause) {
      const isTaken = hasCode(cause, 'EADDRINUSE');
      if (!isTaken || port === 0 || tried + 1 >= ports) {
        throw new RuntimeError(
          'failed-precondition',
          `listen on ${host}:${String(candidate)} for exec, attach and port-forward${
            isTaken ? ': another process has this port: set [streaming] port in config.toml' : ''
          }`,
          isTaken ? {} : { cause },
        );
      }
    }
  }
}

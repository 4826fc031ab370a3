import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { createServer, type Http2Server } from 'node:http2';
import type { Socket } from 'node:net';
import type { DescService } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import { answerCall, type ServedMethod } from './answer-call.ts';
import type { Routes } from './routes.ts';
import { clearSocketPath } from './socket-file.ts';
import { StreamCalls } from './stream-calls.ts';

const defaultDrainMs = 10_000;
// The default of 64 KB costs a round trip for each 64 KB of a message.
const streamWindowBytes = 4 << 20;
const connectionWindowBytes = 16 << 20;
const maxConcurrentCalls = 1000;
const maxHeaderBytes = 64 << 10;
// In MB. Node's default of 10 refuses calls beside a large one; what a call may hold is bounded by maxMessageBytes.
const maxSessionMemory = 1 << 20;

export interface ServeOptions {
  /** Path of the Unix socket; made with mode 0660. */
  readonly socket: string;
  /** The largest message in either direction, in bytes. */
  readonly maxMessageBytes: number;
  /** The methods that are known; any other is answered `unimplemented`. */
  readonly services: readonly DescService[];
  readonly routes: Routes;
  /** How long unary calls may take to end when the server is disposed of; 10,000 ms when left out. */
  readonly drainMs?: number;
}

export interface RunningServer extends AsyncDisposable {
  readonly socket: string;
}

/**
 * Serves gRPC on a Unix socket and passes the messages on as bytes: nothing is
 * decoded. Disposing of it refuses new calls, ends the streams with
 * `unavailable`, and lets unary calls end, at most for `drainMs`. Throws
 * `failed-precondition` when another process serves the socket.
 */
export async function serveRoutes(options: ServeOptions): Promise<RunningServer> {
  const { socket, maxMessageBytes, services, routes } = options;
  const methods = servedMethods(services);
  const streams = new StreamCalls();
  const connections = new Set<Socket>();
  await clearSocketPath(socket);
  const server = createServer({
    maxSessionMemory,
    settings: {
      initialWindowSize: streamWindowBytes,
      maxConcurrentStreams: maxConcurrentCalls,
      maxHeaderListSize: maxHeaderBytes,
    },
  });
  server.on('connection', (connection: Socket) => {
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
  });
  server.on('session', (session) => {
    session.setLocalWindowSize(connectionWindowBytes);
  });
  const deps = { methods, routes, maxMessageBytes, streams };
  server.on('stream', (stream, headers, _flags, rawHeaders) => {
    answerCall(deps, stream, headers, rawHeaders);
  });
  await listen(server, socket);
  await chmod(socket, 0o660);

  let stopped: Promise<void> | undefined;
  return {
    socket,
    [Symbol.asyncDispose]: () => {
      stopped ??= stop(server, streams, connections, options.drainMs ?? defaultDrainMs);
      return stopped;
    },
  };
}

function servedMethods(services: readonly DescService[]): ReadonlyMap<string, ServedMethod> {
  const methods = new Map<string, ServedMethod>();
  for (const { typeName, methods: described } of services) {
    for (const { name, methodKind } of described) {
      if (methodKind !== 'unary' && methodKind !== 'server_streaming') {
        throw new RuntimeError('unimplemented', `serve ${name}: ${methodKind} is not supported`);
      }
      const isStream = methodKind === 'server_streaming';
      methods.set(`/${typeName}/${name}`, { name: `${typeName}/${name}`, isStream });
    }
  }
  return methods;
}

async function listen(server: Http2Server, socket: string): Promise<void> {
  try {
    await once(server.listen(socket), 'listening');
  } catch (cause) {
    throw new RuntimeError('failed-precondition', `listen on ${socket}`, { cause });
  }
  // One connection that could not be accepted is no reason to end the others.
  server.on('error', () => undefined);
}

async function stop(
  server: Http2Server,
  streams: StreamCalls,
  connections: ReadonlySet<Socket>,
  drainMs: number,
): Promise<void> {
  const closed = once(server, 'close');
  server.close(); // Also sends GOAWAY to every client.
  streams.endAll();
  const late = setTimeout(() => {
    for (const connection of connections) {
      connection.destroy();
    }
  }, drainMs);
  await closed;
  clearTimeout(late);
}

import { chmod } from 'node:fs/promises';
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { CallsInFlight, type Routes, streamHandler, unaryHandler } from './server-call.ts';
import { clearSocketPath } from './socket-file.ts';

const defaultDrainMs = 10_000;
const flowControlWindow = 4 << 20; // The default of 64 KB costs a round trip for each 64 KB of a message.

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
  await clearSocketPath(socket);
  const server = new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc-node.flow_control_window': flowControlWindow,
  });
  const calls = new CallsInFlight();
  for (const service of services) {
    server.addService(bytesDefinition(service), implementation(service, routes, calls));
  }
  await bind(server, socket);
  await chmod(socket, 0o660);

  let stopped: Promise<void> | undefined;
  return {
    socket,
    [Symbol.asyncDispose]: () => {
      stopped ??= stop(server, calls, options.drainMs ?? defaultDrainMs);
      return stopped;
    },
  };
}

async function bind(server: Server, socket: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (cause) => {
    if (cause === null) {
      resolve();
    } else {
      reject(new RuntimeError('failed-precondition', `listen on ${socket}`, { cause }));
    }
  });
  await promise;
}

async function stop(server: Server, calls: CallsInFlight, drainMs: number): Promise<void> {
  const closed = Promise.withResolvers<void>();
  server.tryShutdown(() => {
    closed.resolve();
  });
  calls.endStreams();
  const late = setTimeout(() => {
    server.forceShutdown();
    closed.resolve();
  }, drainMs);
  await closed.promise;
  clearTimeout(late);
}

function implementation(
  service: DescService,
  routes: Routes,
  calls: CallsInFlight,
): UntypedServiceImplementation {
  return Object.fromEntries(
    service.methods.map((method) => {
      const name = `${service.typeName}/${method.name}`;
      return [
        method.localName,
        method.methodKind === 'unary'
          ? unaryHandler(name, routes)
          : streamHandler(name, routes, calls),
      ];
    }),
  );
}

/** Builds the view that grpc-js wants of a service, with bytes for messages. */
export function bytesDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((m) => [m.localName, methodDefinition(service, m)]),
  );
}

function methodDefinition(service: DescService, method: DescMethod): ServiceDefinition[string] {
  const { methodKind } = method;
  if (methodKind !== 'unary' && methodKind !== 'server_streaming') {
    throw new RuntimeError('unimplemented', `serve ${method.name}: ${methodKind} is not supported`);
  }
  return {
    path: `/${service.typeName}/${method.name}`,
    requestStream: false,
    responseStream: methodKind === 'server_streaming',
    requestSerialize: asBuffer,
    requestDeserialize: asIs,
    responseSerialize: asBuffer,
    responseDeserialize: asIs,
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

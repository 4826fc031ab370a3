import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { type ErrorKind, kindOfGrpcCode, RuntimeError } from '@gantry/errors';
import type { ServiceClient } from '@gantry/proto';
import { type CallOptions, Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';

export interface RpcCallOptions {
  /** Cancels the call: it rejects with kind `canceled`. */
  readonly signal?: AbortSignal;
  /** Milliseconds since 1970; the call then rejects with kind `deadline-exceeded`. */
  readonly deadlineMs?: number;
  /** Request headers, such as `traceparent`. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** One function for each RPC of `S`. What they throw is a RuntimeError with the kind of the status. */
export type RpcClient<S extends DescService> = ServiceClient<S, RpcCallOptions>;

export interface RpcConnection extends Disposable {
  client<S extends DescService>(service: S): RpcClient<S>;
  /** Ends the connection and every call on it. */
  close(): void;
}

/** Connects to a gRPC server on a Unix socket. The connection is made by the first call. */
export function dial(socket: string): RpcConnection {
  const channel = new Client(`unix:${socket}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    // A server that comes back is there at once; the default waits up to two minutes.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
  });
  const close = (): void => {
    channel.close();
  };
  return {
    client: (service) => clientOf(channel, socket, service),
    close,
    [Symbol.dispose]: close,
  };
}

function clientOf<S extends DescService>(
  channel: Client,
  socket: string,
  service: S,
): RpcClient<S> {
  const methods: Record<string, unknown> = {};
  for (const method of service.methods) {
    const path = `/${service.typeName}/${method.name}`;
    if (method.methodKind === 'unary') {
      methods[method.localName] = unaryMethod(channel, socket, path, method);
    } else if (method.methodKind === 'server_streaming') {
      methods[method.localName] = streamMethod(channel, socket, path, method);
    }
  }
  return methods as RpcClient<S>;
}

function unaryMethod(
  channel: Client,
  socket: string,
  path: string,
  method: DescMethod,
): (request: MessageInitShape<DescMessage>, options?: RpcCallOptions) => Promise<unknown> {
  const { serialize, deserialize } = codec(method);
  return async (request, options = {}) => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    options.signal?.throwIfAborted();
    const call = channel.makeUnaryRequest(
      path,
      serialize,
      deserialize,
      request,
      toMetadata(options),
      toCallOptions(options),
      (error, response) => {
        if (error === null) {
          resolve(response);
        } else {
          reject(fromServiceError(error, socket));
        }
      },
    );
    const cancel = (): void => {
      call.cancel();
    };
    options.signal?.addEventListener('abort', cancel);
    try {
      return await promise;
    } finally {
      options.signal?.removeEventListener('abort', cancel);
    }
  };
}

function streamMethod(
  channel: Client,
  socket: string,
  path: string,
  method: DescMethod,
): (request: MessageInitShape<DescMessage>, options?: RpcCallOptions) => AsyncIterable<unknown> {
  const { serialize, deserialize } = codec(method);
  return async function* (request, options = {}) {
    options.signal?.throwIfAborted();
    const call = channel.makeServerStreamRequest(
      path,
      serialize,
      deserialize,
      request,
      toMetadata(options),
      toCallOptions(options),
    );
    const cancel = (): void => {
      call.cancel();
    };
    options.signal?.addEventListener('abort', cancel);
    try {
      yield* call as AsyncIterable<unknown>;
    } catch (error) {
      throw isServiceError(error) ? fromServiceError(error, socket) : error;
    } finally {
      options.signal?.removeEventListener('abort', cancel);
      // The status of a call that its reader has left is of interest to no one.
      call.on('error', () => undefined);
      call.cancel();
    }
  };
}

function codec({ input, output }: DescMethod): {
  serialize: (message: MessageInitShape<DescMessage>) => Buffer;
  deserialize: (bytes: Buffer) => MessageShape<DescMessage>;
} {
  return {
    serialize: (message) => {
      const bytes = toBinary(input, create(input, message));
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    deserialize: (bytes) => fromBinary(output, bytes),
  };
}

function toMetadata(options: RpcCallOptions): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(options.metadata ?? {})) {
    metadata.set(name, value);
  }
  return metadata;
}

function toCallOptions({ deadlineMs }: RpcCallOptions): CallOptions {
  return deadlineMs === undefined ? {} : { deadline: deadlineMs };
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error;
}

function fromServiceError(error: ServiceError, socket: string): RuntimeError {
  const { code, details } = error;
  const cause = /^No connection established.*?Error: (.*?)\.?(?: Resolution note:.*)?$/s.exec(
    details,
  );
  return cause?.[1] === undefined
    ? new RuntimeError(kindOfGrpcCode(code), details)
    : unreachable(socket, cause[1], kindOfGrpcCode(code));
}

function unreachable(socket: string, why: string, kind: ErrorKind): RuntimeError {
  if (/\b(EACCES|EPERM)\b/.test(why)) {
    const text = `connect to ${socket}: ${why}. Run it again with sudo`;
    return new RuntimeError('permission-denied', text);
  }
  return new RuntimeError(kind, `connect to ${socket}: ${why}. Is Gantry running? (gantry up)`);
}

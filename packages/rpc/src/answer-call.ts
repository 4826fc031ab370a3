import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { RuntimeError } from '@gantry/errors';
import { parseGrpcTimeout } from './grpc-timeout.ts';
import { decodeMessage } from './message-encoding.ts';
import { MessageReader } from './message-reader.ts';
import type { Routes } from './routes.ts';
import { ServerCall } from './server-call.ts';
import type { StreamCalls } from './stream-calls.ts';

/** A method that is served, without the slash of its path. */
export interface ServedMethod {
  readonly name: string;
  readonly isStream: boolean;
}

export interface AnswerDeps {
  /** By path, such as `/runtime.v1.RuntimeService/Version`. */
  readonly methods: ReadonlyMap<string, ServedMethod>;
  readonly routes: Routes;
  readonly maxMessageBytes: number;
  readonly streams: StreamCalls;
}

const grpcContentType = /^application\/grpc(?:\+[\w.-]+)?(?:\s*;.*)?$/i;

/**
 * Answers what came on one HTTP/2 stream, as gRPC over HTTP/2 has it
 * (PROTOCOL-HTTP2.md). Never throws; an error of the stream is of interest to
 * no one but the client that made it.
 */
export function answerCall(
  deps: AnswerDeps,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
): void {
  stream.on('error', () => undefined);
  if (stream.destroyed || stream.closed) {
    return; // Reset in the same moment as it was opened.
  }
  const status = refusedStatus(headers);
  if (status !== undefined) {
    stream.respond({ ':status': status }, { endStream: true });
    stream.close();
    return;
  }
  const { maxMessageBytes } = deps;
  const call = new ServerCall({ stream, rawHeaders, maxMessageBytes });
  const method = deps.methods.get(headers[':path'] ?? '');
  if (method === undefined) {
    call.fail(new RuntimeError('unimplemented', `unknown method ${headers[':path']}`));
    return;
  }
  const timeout = call.header('grpc-timeout');
  if (timeout !== undefined) {
    try {
      call.setDeadline(parseGrpcTimeout(timeout));
    } catch (error) {
      call.fail(error);
      return;
    }
  }
  readRequest(deps, stream, method, call);
}

/** The HTTP status of a request that is not gRPC. */
function refusedStatus(headers: IncomingHttpHeaders): number | undefined {
  if (headers[':method'] !== 'POST') {
    return 405;
  }
  return grpcContentType.test(headers['content-type'] ?? '') ? undefined : 415;
}

function readRequest(
  deps: AnswerDeps,
  stream: ServerHttp2Stream,
  method: ServedMethod,
  call: ServerCall,
): void {
  const reader = new MessageReader(deps.maxMessageBytes);
  stream.on('data', (chunk: Buffer) => {
    if (call.isOver()) {
      return;
    }
    try {
      reader.push(chunk);
    } catch (error) {
      call.fail(error);
    }
  });
  stream.once('end', () => {
    // The end of a stream that the client has reset is not the end of a request.
    if (!stream.closed && !call.isOver()) {
      call.endRequest();
      run(deps, method, call, reader).catch(() => stream.destroy());
    }
  });
}

async function run(
  { routes, maxMessageBytes, streams }: AnswerDeps,
  { name, isStream }: ServedMethod,
  call: ServerCall,
  reader: MessageReader,
): Promise<void> {
  try {
    const message = decodeMessage(reader.end(), call.header('grpc-encoding'), maxMessageBytes);
    const body = message instanceof Promise ? await message : message;
    if (isStream) {
      await runStream(routes, name, body, call, streams);
    } else {
      call.finish(await routes.unary(name, body, call));
    }
  } catch (error) {
    call.fail(error);
  }
}

async function runStream(
  routes: Routes,
  name: string,
  body: Buffer,
  call: ServerCall,
  streams: StreamCalls,
): Promise<void> {
  using _open = streams.open(call);
  if (call.isOver()) {
    return;
  }
  for await (const message of routes.stream(name, body, call)) {
    if (!call.write(message)) {
      await call.drained();
    }
    if (call.isOver()) {
      return;
    }
  }
  call.end();
}

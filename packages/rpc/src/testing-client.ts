import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { TestContext } from 'node:test';

/** What came back on one HTTP/2 stream. */
export interface RawAnswer {
  readonly headers: IncomingHttpHeaders;
  /** Undefined for an answer of one header block. */
  readonly trailers: IncomingHttpHeaders | undefined;
  readonly body: Buffer;
  readonly rstCode: number;
}

export const listImages = '/runtime.v1.ImageService/ListImages';
export const streamImages = '/runtime.v1.ImageService/StreamImages';

/** An HTTP/2 connection on which a test says every byte of a call itself. */
export function connectRaw(t: TestContext, socket: string): ClientHttp2Session {
  const session = connect('http://localhost', {
    path: socket,
    // Node's default of 10 MB would refuse a second large answer on the side of the test.
    maxSessionMemory: 1000,
    settings: { enablePush: false },
  });
  session.on('error', () => undefined);
  t.after(() => {
    session.destroy();
  });
  return session;
}

export function openCall(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders = {},
): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': listImages,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.on('error', () => undefined);
  return stream;
}

export async function answerOf(stream: ClientHttp2Stream): Promise<RawAnswer> {
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders | undefined;
  const chunks: Buffer[] = [];
  stream.on('response', (received) => {
    headers = received;
  });
  stream.on('trailers', (received: IncomingHttpHeaders) => {
    trailers = received;
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (!stream.destroyed) {
    await once(stream, 'close');
  }
  return { headers, trailers, body: Buffer.concat(chunks), rstCode: stream.rstCode };
}

/** Sends `parts`, each in DATA frames of its own, and gives the answer. */
export async function callRaw(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  ...parts: readonly Uint8Array[]
): Promise<RawAnswer> {
  const stream = openCall(session, headers);
  const answer = answerOf(stream);
  for (const part of parts) {
    await new Promise((resolve) => stream.write(part, resolve));
  }
  stream.end();
  return answer;
}

/** A message with its prefix. */
export function frame(body: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  request as requestHttp,
  type ServerResponse,
} from 'node:http';
import type { TestContext } from 'node:test';

export interface ProxyExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The path and query of the request. */
  readonly path: string;
  /** Passes the request on; the answer goes back through `change`, chunk by chunk, if given. */
  readonly forward: (change?: (answer: IncomingMessage, response: ServerResponse) => void) => void;
}

export interface TestProxy {
  readonly host: string;
  /** `GET /v2/...` of every request so far, with its Range where it had one. */
  readonly requests: readonly string[];
  readonly headers: readonly IncomingMessage['headers'][];
}

/** A server on loopback that stands before a registry and spoils what a test wants spoiled. */
export async function startProxy(
  t: TestContext,
  target: string,
  handle: (exchange: ProxyExchange) => void = ({ forward }) => forward(),
): Promise<TestProxy> {
  const requests: string[] = [];
  const headers: IncomingMessage['headers'][] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    const { range } = request.headers;
    requests.push(`${request.method} ${path}${range === undefined ? '' : ` ${range}`}`);
    headers.push(request.headers);
    handle({
      request,
      response,
      path,
      forward: (change = pass) => {
        const onward = requestHttp(`http://${target}${path}`, {
          method: request.method,
          headers: { ...request.headers, host: target },
        });
        onward.on('response', (answer) => change(answer, response));
        onward.on('error', () => response.destroy());
        request.pipe(onward);
      },
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return { host: `127.0.0.1:${address.port}`, requests, headers };
}

function pass(answer: IncomingMessage, response: ServerResponse): void {
  response.writeHead(answer.statusCode ?? 500, answer.headers);
  answer.pipe(response);
}

/** Sends only the first `bytes` of an answer, then hangs up. */
export function cutAfter(bytes: number) {
  return (answer: IncomingMessage, response: ServerResponse): void => {
    let left = bytes;
    response.writeHead(answer.statusCode ?? 500, answer.headers);
    answer.on('data', (chunk: Buffer) => {
      const part = chunk.subarray(0, left);
      left -= part.length;
      response.write(part, () => {
        if (left === 0) {
          response.destroy();
        }
      });
      if (left === 0) {
        answer.destroy();
      }
    });
  };
}

/** Turns over one bit of an answer's body. */
export function flipBit(answer: IncomingMessage, response: ServerResponse): void {
  response.writeHead(answer.statusCode ?? 500, answer.headers);
  let isFirst = true;
  answer.on('data', (chunk: Buffer) => {
    const copy = Buffer.from(chunk);
    if (isFirst && copy.length > 20) {
      copy[20] = (copy[20] ?? 0) ^ 1;
      isFirst = false;
    }
    response.write(copy);
  });
  answer.on('end', () => response.end());
}

import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Stands before a registry, counts what is asked for, and can stop in mid-blob. */
export interface RegistryProxy extends AsyncDisposable {
  /** host:port, as in an image reference. */
  readonly host: string;
  /** The Range of each request for a blob so far; empty for all of it. */
  asked(digest: string): readonly string[];
  /** From now on answers with this blob stop after so many bytes, until `release`. */
  hold(digest: string, bytes: number): void;
  /** Every answer that was stopped goes on, and none is stopped any more. */
  release(): void;
}

interface Held {
  readonly digest: string;
  readonly bytes: number;
  readonly over: Promise<void>;
  readonly end: () => void;
}

export async function startRegistryProxy(registry: string): Promise<RegistryProxy> {
  const requests: { path: string; range: string }[] = [];
  let held: Held | undefined;
  const server = createServer((incoming, outgoing) => {
    const path = incoming.url ?? '';
    requests.push({ path, range: incoming.headers.range ?? '' });
    const onward = request(`http://${registry}${path}`, {
      method: incoming.method,
      headers: { ...incoming.headers, host: registry },
    });
    onward.on('response', (answer) => {
      const holding = held !== undefined && path.includes(held.digest) ? held : undefined;
      void pass(answer, outgoing, holding).catch(() => outgoing.destroy());
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const release = (): void => {
    held?.end();
    held = undefined;
  };
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: (digest) => requests.filter((one) => one.path.includes(digest)).map((one) => one.range),
    hold: (digest, bytes) => {
      const { promise: over, resolve: end } = Promise.withResolvers<void>();
      held = { digest, bytes, over, end };
    },
    release,
    [Symbol.asyncDispose]: async () => {
      release();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function pass(
  answer: IncomingMessage,
  outgoing: ServerResponse,
  held: Held | undefined,
): Promise<void> {
  outgoing.on('close', () => answer.destroy());
  outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
  let sent = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    if (held !== undefined && sent + chunk.length > held.bytes) {
      await held.over;
    }
    sent += chunk.length;
    if (!outgoing.write(chunk)) {
      await once(outgoing, 'drain');
    }
  }
  outgoing.end();
}

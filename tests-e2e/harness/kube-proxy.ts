import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Stack } from './stack.ts';

/** What a kubelet and its API server are for streams: paths of Kubernetes, raw bytes behind. */
export interface KubeProxy extends AsyncDisposable {
  readonly url: string;
}

/**
 * Serves `/api/v1/namespaces/<namespace>/pods/<pod sandbox id>/{exec,attach,portforward}`: asks the
 * runtime for a stream, goes to its URL with the client's own headers and copies both ways.
 */
export async function startKubeProxy(stack: Stack): Promise<KubeProxy> {
  const sockets = new Set<Duplex>();
  const server = createServer((_request, response) => {
    response.writeHead(404).end();
  });
  server.on('upgrade', (request: IncomingMessage, client: Duplex, head: Buffer) => {
    sockets.add(client);
    client.on('error', () => undefined);
    forward(stack, request, client, head).then(
      (upstream) => sockets.add(upstream),
      (error: unknown) => client.end(`HTTP/1.1 500 Error\r\nX-Reason: ${String(error)}\r\n\r\n`),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) {
        socket.destroy();
      }
      server.close();
      await once(server, 'close');
    },
  };
}

async function forward(
  stack: Stack,
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
): Promise<Socket> {
  const target = new URL(await streamUrl(stack, request));
  const upstream = connect(Number(target.port), target.hostname);
  await once(upstream, 'connect');
  const lines = [`${String(request.method)} ${target.pathname} HTTP/1.1`];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    lines.push(`${request.rawHeaders[i] ?? ''}: ${request.rawHeaders[i + 1] ?? ''}`);
  }
  upstream.write(`${lines.join('\r\n')}\r\n\r\n`);
  upstream.write(head);
  // When either side ends, both do.
  upstream.on('error', () => undefined);
  upstream.once('close', () => client.destroy());
  client.once('close', () => upstream.destroy());
  upstream.pipe(client).pipe(upstream);
  return upstream;
}

async function streamUrl({ runtime }: Stack, { url = '' }: IncomingMessage): Promise<string> {
  const { pathname, searchParams: query } = new URL(url, 'http://localhost');
  const [, podSandboxId = '', verb] = /\/pods\/([^/]+)\/(\w+)$/.exec(pathname) ?? [];
  const is = (name: string): boolean => query.get(name) === 'true';
  const streams = {
    containerId: query.get('container') ?? '',
    ...{ stdin: is('stdin'), stdout: is('stdout'), stderr: is('stderr'), tty: is('tty') },
  };
  const answer = await (verb === 'exec'
    ? runtime.exec({ ...streams, cmd: query.getAll('command') })
    : verb === 'attach'
      ? runtime.attach(streams)
      : runtime.portForward({ podSandboxId, port: query.getAll('ports').map(Number) }));
  return answer.url;
}

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { run } from '@gantry/host';
import { createLogger } from '@gantry/telemetry';
import type { Upgrade } from './stream-clients.ts';
import { type StreamHttp, type StreamHttpOptions, startStreamHttp } from './stream-http.ts';

async function start(
  t: TestContext,
  options: Partial<StreamHttpOptions> = {},
): Promise<StreamHttp> {
  const http = await startStreamHttp({
    host: '127.0.0.1',
    port: 0,
    ports: 1,
    certFile: '',
    keyFile: '',
    log: createLogger({ service: 'stream', instance: 'test', level: 'error' }),
    ...options,
  });
  t.after(() => http[Symbol.asyncDispose]());
  return http;
}

/** Serves by an answer that names the path. */
async function answer({ socket, request: { url } }: Upgrade): Promise<void> {
  socket.end(`HTTP/1.1 101 Switching Protocols\r\n\r\nserved ${String(url)}`);
  await once(socket, 'close');
}

/** Sends bytes to the host of a URL; gives all that comes back. */
async function send(url: string, ...lines: string[]): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  socket.write([...lines, '', ''].join('\r\n'));
  return text(socket);
}

const upgrade = ['Host: x', 'Connection: Upgrade', 'Upgrade: SPDY/3.1'];

test('a client is served once, whatever its query says', async (t) => {
  const http = await start(t);
  const url = http.url('exec', answer);
  const { pathname } = new URL(url);
  const target = `${pathname}?command=rm&container=other`;
  assert.match(
    await send(url, `POST ${target} HTTP/1.1`, ...upgrade),
    /served \/exec\/.*command=rm&container=other$/,
  );
  const again = await send(url, `POST ${target} HTTP/1.1`, ...upgrade);
  assert.match(again, /^HTTP\/1\.1 404 .*404 page not found\n$/s);
});

for (const [what, line] of [
  ['a path of another kind', (path: string) => `POST ${path.replace('exec', 'attach')} HTTP/1.1`],
  ['another method', (path: string) => `PUT ${path} HTTP/1.1`],
  ['an unknown token', () => 'POST /exec/AAAAAAAAAAAAAAAAAAAAAA HTTP/1.1'],
  ['a path below', (path: string) => `GET ${path}/x HTTP/1.1`],
  ['a path above', (path: string) => `GET /x${path} HTTP/1.1`],
  ['no path', () => 'GET / HTTP/1.1'],
] as const) {
  test(`${what} is not found`, async (t) => {
    const http = await start(t);
    const url = http.url('exec', () => assert.fail('served'));
    const reply = await send(url, line(new URL(url).pathname), ...upgrade);
    assert.match(reply, /^HTTP\/1\.1 404 /);
    const plain = await send(url, line(new URL(url).pathname), 'Host: x');
    assert.match(plain, /^HTTP\/1\.1 404 /);
  });
}

test('a request without an upgrade is refused, uses the token up, and its body is not waited for', async (t) => {
  const http = await start(t);
  const url = http.url('exec', answer);
  const { pathname } = new URL(url);
  const reply = await send(
    url,
    `POST ${pathname} HTTP/1.1`,
    'Host: x',
    'Content-Type: application/json',
    'Content-Length: 1000000',
  );
  assert.match(reply, /^HTTP\/1\.1 400 .*unable to upgrade/s);
  assert.match(await send(url, `POST ${pathname} HTTP/1.1`, ...upgrade), /^HTTP\/1\.1 404 /);
});

test('headers have a limit', async (t) => {
  const http = await start(t);
  const url = http.url('exec', answer);
  const { pathname } = new URL(url);
  const reply = await send(
    url,
    `POST ${pathname} HTTP/1.1`,
    ...upgrade,
    `X: ${'x'.repeat(20_000)}`,
  );
  assert.match(reply, /^HTTP\/1\.1 431 /);
});

test('of a thousand connections that ask for nothing few stay, and a client is served beside them', async (t) => {
  const http = await start(t);
  const url = http.url('exec', answer);
  const { hostname, port, pathname } = new URL(url);
  const idle: Socket[] = [];
  t.after(() => {
    for (const socket of idle) {
      socket.destroy();
    }
  });
  let open = 0;
  for (let i = 0; i < 1000; i++) {
    const socket = connect(Number(port), hostname);
    idle.push(socket);
    socket.on('error', () => undefined);
    socket.resume();
    await once(socket, 'connect');
    open += 1;
    socket.once('close', () => {
      open -= 1;
    });
  }
  assert.match(await send(url, `POST ${pathname} HTTP/1.1`, ...upgrade), /served/);
  while (open > 256) {
    await new Promise(setImmediate);
  }
});

test('a server that stops ends its streams', async (t) => {
  const http = await start(t);
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const url = http.url('attach', async ({ socket, signal }) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n');
    begun.resolve();
    await once(signal, 'abort');
    socket.destroy();
    ended.resolve();
  });
  const reply = send(url, `GET ${new URL(url).pathname} HTTP/1.1`, ...upgrade);
  await begun.promise;
  await http[Symbol.asyncDispose]();
  await ended.promise;
  assert.match(await reply, /^HTTP\/1\.1 101 /);
});

test('instances share a range of ports, and a port that is taken is told', async (t) => {
  const first = await start(t);
  const port = Number(new URL(first.url('exec', answer)).port);
  const second = await start(t, { port, ports: 3 });
  const other = Number(new URL(second.url('exec', answer)).port);
  assert.ok(other > port && other < port + 3);
  await assert.rejects(start(t, { port }), {
    kind: 'failed-precondition',
    message: /another process has this port: set \[streaming\] port/,
  });
});

test('a server for every address is reached on loopback', async (t) => {
  const http = await start(t, { host: '0.0.0.0' });
  assert.match(http.url('exec', answer), /^http:\/\/127\.0\.0\.1:\d+\/exec\//);
});

async function certificate(dir: string, name: string): Promise<void> {
  const { exitCode, stderr } = await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '1', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', join(dir, 'tls.key'), '-out', join(dir, 'tls.crt')],
  ]);
  assert.equal(exitCode, 0, stderr.toString());
}

/** The name in the certificate that a client sees, and what it is answered. */
async function overTls(url: string): Promise<readonly [string, number | undefined]> {
  const client = request(url, { rejectUnauthorized: false, agent: false });
  client.end();
  const [response] = (await once(client, 'response')) as [
    { statusCode: number; socket: TLSSocket; resume(): void },
  ];
  response.resume();
  return [String(response.socket.getPeerCertificate().subject.CN), response.statusCode];
}

test('a new certificate is served without a restart, a broken one is not', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-tls-'));
  t.after(() => {
    rmSync(dir, { recursive: true });
  });
  await certificate(dir, 'first');
  const [certFile, keyFile] = [join(dir, 'tls.crt'), join(dir, 'tls.key')];
  const log = createLogger({ service: 'stream', instance: 'test', level: 'fatal' });
  const http = await start(t, { certFile, keyFile, log });
  assert.match(http.url('exec', answer), /^https:/);
  assert.deepEqual(await overTls(http.url('exec', answer)), ['first', 400]);
  await certificate(dir, 'second');
  assert.deepEqual(await overTls(http.url('exec', answer)), ['second', 400]);
  rmSync(keyFile);
  assert.deepEqual(await overTls(http.url('exec', answer)), ['second', 400]);
  await certificate(dir, 'third');
  assert.deepEqual(await overTls(http.url('exec', answer)), ['third', 400]);
  rmSync(certFile);
  await assert.rejects(start(t, { certFile, keyFile }), {
    kind: 'failed-precondition',
    message: /tls\.crt/,
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { createLogger, startTelemetry, type Telemetry, withSpan } from './index.ts';

async function start(
  t: TestContext,
  endpoint: string,
): Promise<{ telemetry: Telemetry; lines: string[] }> {
  const rootDir = await mkdtemp(`${tmpdir()}/otlp-`);
  t.after(() => rm(rootDir, { recursive: true, force: true }));
  const lines: string[] = [];
  const telemetry = await startTelemetry({
    service: 'image',
    instance: 'i',
    config: {
      node_name: 'node-1',
      root_dir: rootDir,
      log: { level: 'info' },
      tracing: { otlp_endpoint: endpoint, keep_traces: 0 },
    },
    log: createLogger({
      service: 'image',
      instance: 'i',
      level: 'info',
      destination: { write: (line) => lines.push(line) },
    }),
  });
  return { telemetry, lines };
}

async function listen(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return `http://127.0.0.1:${port}/v1/traces`;
}

test('spans are sent to the endpoint at the latest when telemetry stops', async (t) => {
  const received = Promise.withResolvers<{ url: string | undefined; body: string }>();
  const endpoint = await listen(t, (request, response) => {
    void text(request).then((body) => {
      received.resolve({ url: request.url, body });
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  const { telemetry } = await start(t, new URL(endpoint).origin);
  await withSpan('PullImage', { 'image.name': 'busybox' }, () => Promise.resolve());
  await telemetry[Symbol.asyncDispose]();
  const { url, body } = await received.promise;
  assert.equal(url, '/v1/traces');
  assert.match(body, /PullImage/);
  assert.match(body, /"host\.name","value":\{"stringValue":"node-1"/);
  assert.match(body, /gantry-image/);
});

test('a backend that refuses costs one warning', async (t) => {
  let requests = 0;
  const endpoint = await listen(t, (request, response) => {
    requests++;
    request.resume();
    response.writeHead(400).end();
  });
  const { telemetry, lines } = await start(t, endpoint);
  for (let i = 0; i < 3; i++) {
    await withSpan('work', {}, () => Promise.resolve());
    await telemetry.flush();
  }
  await telemetry[Symbol.asyncDispose]();
  assert.equal(requests, 3);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /traces are not sent/);
});

test('a stop does not wait until a silent backend is given up', async (t) => {
  let isOpen = false;
  const endpoint = await listen(t, (request) => {
    isOpen = true;
    request.resume();
    request.socket.once('close', () => {
      isOpen = false;
    });
  });
  const { telemetry } = await start(t, endpoint);
  await withSpan('work', {}, () => Promise.resolve());
  await telemetry[Symbol.asyncDispose]();
  assert.equal(isOpen, true);
});

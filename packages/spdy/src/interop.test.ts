import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildGoPeer } from '@gantry/host/testing';
import { SpdyConnection } from './connection.ts';

import { headersOf } from './testing.ts';

const peer = buildGoPeer(fileURLToPath(new URL('../interop', import.meta.url)));
const skip = 'skip' in peer ? peer.skip : false;
const path = 'path' in peer ? peer.path : '';
const run = promisify(execFile);

async function echoServer(t: TestContext): Promise<string> {
  const server = createServer((socket) => {
    const connection = new SpdyConnection(socket, {
      role: 'server',
      onStream: (stream) => {
        stream.accept();
        pipeline(stream, stream).catch(() => {});
      },
    });
    t.after(() => connection.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function goServer(t: TestContext): Promise<SpdyConnection> {
  const child = spawn(path, ['serve'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const socket = connect(Number(line.toString()), '127.0.0.1');
  await once(socket, 'connect');
  const client = new SpdyConnection(socket, { role: 'client' });
  t.after(() => client.destroy());
  return client;
}

describe('with moby/spdystream', { skip, timeout: 300_000 }, () => {
  it('our server carries 50 MB each way on 5 streams', async (t) => {
    const { stdout } = await run(path, ['drive', await echoServer(t), '5', '10000000', 'quick']);
    assert.equal(stdout, 'ok\n');
  });

  it('our server serves 200 streams that come and go', async (t) => {
    const { stdout } = await run(path, ['drive', await echoServer(t), '200', '20000', 'quick']);
    assert.equal(stdout, 'ok\n');
  });

  it('our server serves the other streams while one is read late', async (t) => {
    const { stdout } = await run(path, ['drive', await echoServer(t), '5', '300000', 'slow']);
    assert.equal(stdout, 'ok\n');
  });

  it('our client gets back what it sends on many streams', async (t) => {
    const client = await goServer(t);
    const sent = Buffer.alloc(5_000_000, 'from node to go and back ');
    const echoes = Array.from({ length: 10 }, async (_, i) => {
      const stream = await client.open(headersOf({ streamtype: 'data', port: String(i) }));
      stream.end(sent);
      return buffer(stream);
    });
    for (const echo of await Promise.all(echoes)) {
      assert.ok(echo.equals(sent));
    }
    assert.ok((await client.ping()) >= 0);
  });

  it('our client sees a refusal, and can reset and close', async (t) => {
    const client = await goServer(t);
    await assert.rejects(client.open(headersOf({ refuse: 'yes' })), /refused, status 3/);
    const stream = await client.open(new Map());
    stream.write('x');
    stream.reset();
    const next = await client.open(new Map());
    next.end('still fine');
    assert.equal(await text(next), 'still fine');
    await client.close();
  });
});

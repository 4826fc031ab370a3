import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startNamespaceWorker } from './namespace-worker.ts';
import { type NetnsSockets, startNetnsSockets } from './netns-sockets.ts';

const skip = process.geteuid?.() === 0 ? false : 'needs root to enter namespaces';

async function start(t: TestContext): Promise<{ sockets: NetnsSockets; path: string }> {
  const path = join(mkdtempSync(join(tmpdir(), 'gantry-sockets-')), 'pod');
  const worker = startNamespaceWorker();
  const sockets = startNetnsSockets();
  t.after(async () => {
    await sockets[Symbol.asyncDispose]();
    await worker.removeNetns(path);
    await worker[Symbol.asyncDispose]();
    rmSync(join(path, '..'), { recursive: true, force: true });
  });
  await worker.createNetns(path);
  return { sockets, path };
}

/** Connects a socket of `path`; resolves with 'connected' or the error's code. */
async function dial(fd: number, host: string, port: number): Promise<string> {
  const socket = new Socket({ fd });
  try {
    socket.connect({ host, port });
    await once(socket, 'connect');
    return 'connected';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    socket.destroy();
  }
}

test('a socket sees the loopback of its namespace and not ours', { skip }, async (t) => {
  const { sockets, path } = await start(t);
  await using server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  assert.equal(await dial(await sockets.open(path, 'ipv4'), '127.0.0.1', port), 'ECONNREFUSED');
  assert.equal(await dial(await sockets.open(path, 'ipv6'), '::1', port), 'ECONNREFUSED');
  assert.equal(
    await dial(await sockets.open('/proc/self/ns/net', 'ipv4'), '127.0.0.1', port),
    'connected',
  );
});

test('no thread stays in the namespace', { skip }, async (t) => {
  const { sockets, path } = await start(t);
  const fds = await Promise.all(Array.from({ length: 50 }, () => sockets.open(path, 'ipv4')));
  const threads = readdirSync('/proc/self/task');
  const namespaces = new Set(threads.map((tid) => readlinkSync(`/proc/self/task/${tid}/ns/net`)));
  assert.equal(namespaces.size, 1);
  assert.equal(new Set(fds).size, 50);
  for (const fd of fds) {
    new Socket({ fd }).destroy();
  }
});

test('a namespace that is gone is told, and what is none is refused', { skip }, async (t) => {
  const { sockets, path } = await start(t);
  await assert.rejects(sockets.open(`${path}-gone`, 'ipv4'), {
    kind: 'not-found',
    message: /pod-gone/,
  });
  await assert.rejects(sockets.open('/dev/null', 'ipv4'), /open a socket .*EINVAL/);
  await assert.rejects(sockets.open('', 'ipv4'), { kind: 'invalid-argument' });
  // The thread is still good.
  new Socket({ fd: await sockets.open(path, 'ipv4') }).destroy();
  await sockets[Symbol.asyncDispose]();
  await assert.rejects(sockets.open(path, 'ipv4'), { kind: 'unavailable' });
});

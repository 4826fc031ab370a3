import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { adoptDescriptor } from './adopt-descriptor.ts';
import { checked, closeFd, lazily } from './libc.ts';
import { connectSeqpacket } from './seqpacket.ts';

const socket = lazily<[number, number, number]>('socket', ['int', 'int', 'int']);
const bind = lazily<[number, Uint8Array, number]>('bind', ['int', 'void *', 'int']);
const listen = lazily<[number, number]>('listen', ['int', 'int']);
const accept = lazily<[number, null, null, number]>('accept4', ['int', 'void *', 'void *', 'int']);

interface Listener {
  readonly path: string;
  readonly accept: () => Socket;
}

/** A SOCK_SEQPACKET listener whose path is far too long for a sockaddr_un. */
function listener(t: TestContext, backlog = 5): Listener {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-seqpacket-'));
  const deep = join(dir, 'd'.repeat(100));
  mkdirSync(deep);
  const fd = checked(socket()(1, 5 | 0o2000000, 0), 'socket');
  const address = Buffer.alloc(110);
  address.writeUInt16LE(1, 0);
  const cwd = process.cwd();
  process.chdir(deep);
  address.write('attach', 2);
  try {
    checked(bind()(fd, address, 9), 'bind');
  } finally {
    process.chdir(cwd);
  }
  checked(listen()(fd, backlog), 'listen');
  t.after(() => {
    closeFd(fd);
    rmSync(dir, { recursive: true });
  });
  return {
    path: join(deep, 'attach'),
    accept: () => adoptDescriptor(checked(accept()(fd, null, null, 0o2004000), 'accept')),
  };
}

async function packets(from: Socket, count: number): Promise<string[]> {
  const seen: string[] = [];
  while (seen.length < count) {
    const [packet] = (await once(from, 'data')) as [Buffer];
    seen.push(packet.toString());
  }
  return seen;
}

test('packets keep their boundaries both ways', async (t) => {
  const { path, accept: next } = listener(t);
  const ours = await connectSeqpacket(path);
  const theirs = next();
  const seen = packets(ours, 3);
  for (const text of ['one', 'two', 'three'.repeat(1000)]) {
    await new Promise((done) => theirs.write(text, done));
  }
  assert.deepEqual(await seen, ['one', 'two', 'three'.repeat(1000)]);
  const back = packets(theirs, 2);
  await new Promise((done) => ours.write('four', done));
  await new Promise((done) => ours.write('five', done));
  assert.deepEqual(await back, ['four', 'five']);
  ours.destroy();
  theirs.destroy();
});

test('our end can be shut down while the other still sends', async (t) => {
  const { path, accept: next } = listener(t);
  const ours = await connectSeqpacket(path);
  const theirs = next();
  theirs.allowHalfOpen = true;
  const ended = once(theirs, 'end');
  theirs.resume();
  ours.end();
  await ended;
  const seen = packets(ours, 1);
  theirs.write('still here');
  assert.deepEqual(await seen, ['still here']);
  const closed = once(ours, 'end');
  theirs.destroy();
  await closed;
  ours.destroy();
});

test('a side that does not read holds back what is written, and nothing is lost', async (t) => {
  const { path, accept: next } = listener(t);
  const ours = await connectSeqpacket(path);
  const theirs = next();
  const sent = 500;
  const packet = Buffer.alloc(8192, 'x');
  let written = 0;
  const writing = (async () => {
    for (; written < sent; written++) {
      await new Promise((done) => theirs.write(packet, done));
    }
    theirs.end();
  })();
  // What the kernel takes and what is read ahead is far less than all of it.
  await new Promise((done) => setImmediate(done));
  assert.ok(written < sent);
  let bytes = 0;
  for await (const chunk of ours) {
    bytes += (chunk as Buffer).length;
  }
  await writing;
  theirs.destroy();
  assert.equal(bytes, sent * packet.length);
});

test('a full queue of connections is waited for, and a signal ends the wait', async (t) => {
  const { path, accept: next } = listener(t, 0);
  const first = await connectSeqpacket(path);
  const stop = new AbortController();
  const given = connectSeqpacket(path, { signal: stop.signal });
  stop.abort();
  await assert.rejects(given, { name: 'AbortError' });
  const waiting = connectSeqpacket(path);
  const accepted = next();
  const second = await waiting;
  for (const one of [first, second, accepted]) {
    one.destroy();
  }
});

test('a path without a listener is an error that names it', async (t) => {
  const { path } = listener(t);
  await assert.rejects(connectSeqpacket(`${path}x`), { code: 'ENOENT', message: /attachx/ });
});

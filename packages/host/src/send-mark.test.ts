import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { mountClassic } from './mount-syscalls.ts';
import { descriptorOf, hasRoom, SendMark } from './send-mark.ts';
import { unmount } from './unmount.ts';

const noAtime = 1024; // MS_NOATIME

function newDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'mark-'));
  t.after(() => {
    rmSync(dir, { recursive: true });
  });
  return dir;
}

function fdOf(socket: Socket): number {
  const fd = descriptorOf(socket);
  assert.ok(fd !== undefined);
  return fd;
}

async function connected(t: TestContext, dir: string): Promise<[Socket, Socket]> {
  const server = createServer().listen(join(dir, 's.sock'));
  await once(server, 'listening');
  const near = createConnection(join(dir, 's.sock'));
  const [far] = (await once(server, 'connection')) as [Socket];
  t.after(() => {
    near.destroy();
    far.destroy();
    server.close();
  });
  return [near, far];
}

test('each byte arrives as it is, and the mark tells that it was sent', async (t) => {
  const dir = newDir(t);
  const path = join(dir, 'mark');
  const [near, far] = await connected(t, dir);
  using mark = SendMark.make(path);
  assert.equal(mark.isKept, true);
  const pieces: Buffer[] = [];
  far.on('data', (piece: Buffer) => pieces.push(piece));
  for (let byte = 0; byte < 256; byte++) {
    mark.reset();
    assert.equal(SendMark.wasSent(path), false);
    assert.equal(mark.send(fdOf(near), byte), true);
    assert.equal(SendMark.wasSent(path), true);
  }
  near.end();
  await once(far, 'end');
  assert.deepEqual(
    [...Buffer.concat(pieces)],
    Array.from({ length: 256 }, (_, byte) => byte),
  );
});

test('a socket that is full takes no byte, and the mark stays; later it does', async (t) => {
  const dir = newDir(t);
  const path = join(dir, 'mark');
  const [near, far] = await connected(t, dir);
  far.pause();
  using mark = SendMark.make(path);
  let sent = 0;
  while (hasRoom(fdOf(near))) {
    assert.equal(mark.send(fdOf(near), 7), true);
    sent++;
  }
  mark.reset();
  assert.equal(hasRoom(fdOf(near)), false);
  assert.equal(SendMark.wasSent(path), false);
  let read = 0;
  far.on('data', (piece: Buffer) => {
    read += piece.length;
  });
  far.resume();
  while (read < sent) {
    await new Promise(setImmediate);
  }
  assert.equal(hasRoom(fdOf(near)), true);
});

test('a socket whose peer is gone has no room, and sending fails', async (t) => {
  const dir = newDir(t);
  const [near, far] = await connected(t, dir);
  near.pause();
  far.destroy();
  await once(far, 'close');
  using mark = SendMark.make(join(dir, 'mark'));
  assert.equal(hasRoom(fdOf(near)), false);
  assert.throws(() => mark.send(fdOf(near), 1), /send a byte: .*EPIPE/);
});

test('a new mark takes the place of an old one, and none is left half made', (t) => {
  const path = join(newDir(t), 'mark');
  assert.equal(SendMark.wasSent(path), undefined);
  SendMark.make(path)[Symbol.dispose]();
  const { ino } = statSync(path);
  SendMark.make(path)[Symbol.dispose]();
  assert.notEqual(statSync(path).ino, ino);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.throws(() => SendMark.make(join(path, 'below')), { code: 'ENOTDIR' });
});

test('where no access times are kept the mark says that it is of no use', {
  skip: process.geteuid?.() === 0 ? false : 'needs root to mount',
}, async (t) => {
  const target = newDir(t);
  mountClassic({ source: 'tmpfs', target, type: 'tmpfs', flags: noAtime, data: '' }, 'mount');
  try {
    using mark = SendMark.make(join(target, 'mark'));
    assert.equal(mark.isKept, false);
  } finally {
    await unmount(target);
  }
});

test('what is no socket, or is closed, has no descriptor', async (t) => {
  assert.equal(descriptorOf(duplexPair()[0]), undefined);
  const [near] = await connected(t, newDir(t));
  near.destroy();
  assert.equal(descriptorOf(near), undefined);
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { openPseudoTerminal } from './pseudo-terminal.ts';

function terminalsOpen(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return /^\/dev\/(?:ptmx|pts\/)/.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;
}

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

test('a child reads it raw, and finds the size that was set', async () => {
  using terminal = openPseudoTerminal();
  terminal.resize(33, 121);
  const child = spawn('sh', ['-c', 'stty size; head -c 4 | od -An -c; [ -t 0 ] && echo yes'], {
    stdio: [terminal.peerFd, terminal.peerFd, terminal.peerFd],
  });
  terminal.closePeer();
  const output = textOf(terminal.stream);
  terminal.stream.write('a\r\x03\x04');
  assert.equal(await output, '33 121\n   a  \\r 003 004\nyes\n');
  if (child.exitCode === null) {
    await once(child, 'exit');
  }
});

test('all output is read before the end, however slow the reader', async () => {
  using terminal = openPseudoTerminal();
  const size = 3_000_000;
  const child = spawn('head', ['-c', String(size), '/dev/zero'], {
    stdio: [terminal.peerFd, terminal.peerFd, 'inherit'],
  });
  terminal.closePeer();
  let bytes = 0;
  for await (const chunk of terminal.stream) {
    bytes += (chunk as Buffer).length;
    await new Promise((done) => setImmediate(done));
  }
  assert.equal(bytes, size);
  assert.equal(child.exitCode ?? (await once(child, 'exit'))[0], 0);
});

test('more input than the terminal holds waits for its reader, and all of it arrives', async () => {
  using terminal = openPseudoTerminal();
  const data = Buffer.alloc(200_000, 'input');
  const child = spawn('sh', ['-c', `head -c ${String(data.length)} | sha256sum`], {
    stdio: [terminal.peerFd, terminal.peerFd, 'inherit'],
  });
  terminal.closePeer();
  const output = textOf(terminal.stream);
  terminal.stream.write(data);
  const digest = createHash('sha256').update(data).digest('hex');
  assert.equal(await output, `${digest}  -\n`);
  assert.equal(child.exitCode ?? (await once(child, 'exit'))[0], 0);
});

test('hanging up ends its reader, and no descriptor stays', async () => {
  const before = terminalsOpen();
  const terminal = openPseudoTerminal();
  const child = spawn('cat', [], {
    stdio: [terminal.peerFd, terminal.peerFd, 'ignore'],
  });
  terminal.closePeer();
  terminal[Symbol.dispose]();
  await once(child, 'exit');
  assert.equal(terminalsOpen(), before);
});

test('what was written just before the end is read, also by who begins late', async () => {
  using terminal = openPseudoTerminal();
  // More than one read(2) of a terminal gives, less than it holds.
  const size = 8000;
  const child = spawn('head', ['-c', String(size), '/dev/zero'], {
    stdio: [terminal.peerFd, terminal.peerFd, 'inherit'],
  });
  terminal.closePeer();
  await once(child, 'exit');
  assert.equal((await textOf(terminal.stream)).length, size);
});

test('a write that nobody reads does not outlive the other end', async () => {
  using terminal = openPseudoTerminal();
  const child = spawn('sh', ['-c', 'echo ready; read line'], {
    stdio: [terminal.peerFd, terminal.peerFd, 'inherit'],
  });
  terminal.closePeer();
  await once(terminal.stream, 'data');
  // Far more than it holds.
  const written = new Promise((done) => terminal.stream.write(Buffer.alloc(1 << 20), done));
  child.kill();
  await written;
  await textOf(terminal.stream);
  await new Promise((done) => terminal.stream.end('more', () => done(undefined)));
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { LendingReader } from './lending-reader.ts';
import { type OutputPipe, openOutputPipe } from './output-pipe.ts';
import { startProcess } from './start-process.ts';

function run(script: string): OutputPipe {
  const pipe = openOutputPipe();
  startProcess('sh', ['-c', script], { stdio: ['null', pipe.fd, 2] });
  pipe.closePeer();
  return pipe;
}

const script = 'seq 1 400000';
const expected = createHash('sha256');
for (let n = 1; n <= 400_000; n++) {
  expected.update(`${String(n)}\n`);
}
const digest = expected.digest('hex');

test('all bytes come, without anybody lending', async () => {
  const hash = createHash('sha256');
  for await (const piece of run(script).stream) {
    hash.update(piece as Buffer);
    await new Promise(setImmediate);
  }
  assert.equal(hash.digest('hex'), digest);
});

test('all bytes come as they are when pieces are given back late, and few buffers are used', async () => {
  const { stream } = run(script);
  stream.lend();
  const hash = createHash('sha256');
  const buffers = new Set<unknown>();
  let mostAtOnce = 0;
  const out: Buffer[] = [];
  stream.on('data', (piece: Buffer) => {
    buffers.add(piece.buffer);
    out.push(piece);
    mostAtOnce = Math.max(mostAtOnce, out.length);
    setTimeout(() => {
      const oldest = out.shift();
      assert.ok(oldest);
      hash.update(oldest);
      stream.release(oldest);
    }, 1);
  });
  await once(stream, 'end');
  while (out.length > 0) {
    await new Promise(setImmediate);
  }
  assert.equal(hash.digest('hex'), digest);
  assert.ok(mostAtOnce <= 3, `${mostAtOnce} at once`);
  assert.ok(buffers.size <= 4, `${buffers.size} buffers`);
});

test('a reader that pauses holds the writer up, and loses nothing', async () => {
  const { stream } = run(script);
  stream.lend();
  const hash = createHash('sha256');
  stream.on('data', (piece: Buffer) => {
    hash.update(piece);
    stream.release(piece);
    stream.pause();
    setImmediate(() => stream.resume());
  });
  await once(stream, 'end');
  assert.equal(hash.digest('hex'), digest);
});

test('who has pieces and never gives them back can be left with them', async () => {
  const { stream } = run(script);
  stream.lend();
  const hash = createHash('sha256');
  let count = 0;
  stream.on('data', (piece: Buffer) => {
    hash.update(piece);
    count += 1;
    if (count === 3) {
      setImmediate(() => stream.stopLending());
    }
  });
  await once(stream, 'end');
  assert.equal(hash.digest('hex'), digest);
});

test('small words come at once, and the end with the last writer', async () => {
  const { stream } = run('echo one; sleep 0.05; echo two');
  assert.equal(await text(stream), 'one\ntwo\n');
});

test('one that is destroyed leaves its writer with a broken pipe', async () => {
  const pipe = openOutputPipe();
  const child = startProcess('sh', ['-c', 'exec cat /dev/zero'], {
    stdio: ['null', pipe.fd, 'null'],
  });
  pipe.closePeer();
  await once(pipe.stream, 'data');
  pipe.stream.destroy();
  assert.deepEqual(await child.exited, { exitCode: null, signal: 'SIGPIPE' });
});

test('a socket that is cut off closes it without an end, one that ends ends it and can still be written', async (t) => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (word) => {
      if (word.toString() === 'cut') {
        socket.resetAndDestroy();
      } else {
        socket.end('bye');
        socket.resume();
      }
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const dial = async (word: string): Promise<{ socket: Socket; reader: LendingReader }> => {
    let socket: Socket | undefined;
    const reader = new LendingReader((onread) => {
      socket = new Socket({ allowHalfOpen: true, onread });
      return socket.connect(port, '127.0.0.1');
    });
    assert.ok(socket);
    await once(socket, 'connect');
    socket.write(word);
    return { socket, reader };
  };
  const cut = await dial('cut');
  let hasEnded = false;
  cut.reader.once('end', () => {
    hasEnded = true;
  });
  cut.reader.resume();
  await once(cut.reader, 'close');
  assert.equal(hasEnded, false);
  const { reader, socket } = await dial('end');
  assert.equal(await text(reader), 'bye');
  assert.equal(socket.writable, true);
  socket.destroy();
});

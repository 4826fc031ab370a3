import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import { connections, Mux } from './mux.ts';

/** The frames that were written, as [connection, length]. */
function framesOf(bytes: Buffer): [number, number][] {
  const frames: [number, number][] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    frames.push([bytes.readUInt32BE(at), length]);
    at += 8 + length;
  }
  return frames;
}

function frame(id: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(id, 0);
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

async function written(length: number): Promise<[number, number][]> {
  const [near, far] = duplexPair();
  const mux = new Mux(near);
  const pieces: Buffer[] = [];
  far.on('data', (chunk: Buffer) => pieces.push(chunk));
  const stream = mux.open(1);
  await new Promise<void>((done) => {
    stream.write(Buffer.alloc(length, 7), () => {
      done();
    });
  });
  mux.close();
  const bytes = Buffer.concat(pieces);
  return framesOf(bytes);
}

function collect(stream: Duplex): Buffer[] {
  const pieces: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => pieces.push(chunk));
  return pieces;
}

test("a message goes in one frame up to the buffer of Go's reader, else in two", async () => {
  assert.deepEqual(await written(4096), [[1, 4096]]);
  assert.deepEqual(await written(4097), [
    [1, 4096],
    [1, 1],
  ]);
  assert.deepEqual(await written(8193), [
    [1, 4096],
    [1, 4097],
  ]);
});

test('frames cut at every byte reach their connections; unknown ones reach nobody', async () => {
  const bytes = Buffer.concat([
    frame(connections.plugin, Buffer.from('one')),
    frame(77, Buffer.from('nobody')),
    frame(connections.runtime, Buffer.alloc(0)),
    frame(connections.runtime, Buffer.from('two')),
    frame(connections.plugin, Buffer.from('three')),
  ]);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const [near, far] = duplexPair();
    const mux = new Mux(near);
    const one = collect(mux.open(connections.plugin));
    const two = collect(mux.open(connections.runtime));
    far.write(bytes.subarray(0, cut));
    far.write(bytes.subarray(cut));
    while (Buffer.concat(one).length < 8) {
      await new Promise(setImmediate);
    }
    assert.equal(Buffer.concat(one).toString(), 'onethree', `cut at ${cut}`);
    assert.equal(Buffer.concat(two).toString(), 'two');
    mux.close();
  }
});

/** A trunk that keeps what it is given, and lets the last byte of a message through when it is told to. */
function apart(message: Buffer) {
  const [near, far] = duplexPair();
  const mux = new Mux(near);
  const pieces = collect(far);
  const state = { hasRoom: false, asked: 0, done: 0, error: undefined as unknown };
  mux.open(connections.plugin).on('error', () => undefined);
  mux.writeLastApart(
    connections.plugin,
    message,
    (byte) => {
      state.asked++;
      if (state.hasRoom) {
        near.write(Buffer.from([byte]));
      }
      return state.hasRoom;
    },
    (error) => {
      state.done++;
      state.error = error;
    },
  );
  return { mux, near, far, pieces, state };
}

test('the last byte of a message goes apart, and others wait until it is gone', async () => {
  for (const length of [1, 2, 4096, 4097, 10_000]) {
    const { mux, pieces, state } = apart(Buffer.alloc(length, 7));
    const other = mux.open(connections.runtime);
    other.write('second');
    mux.writeLastApart(
      connections.runtime,
      Buffer.from('third'),
      () => {
        mux.open(connections.plugin).write('!');
        return true;
      },
      () => undefined,
    );
    other.write('fourth');
    while (state.asked < 2) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const before = Buffer.concat(pieces);
    assert.equal(state.done, 0);
    state.hasRoom = true;
    while (Buffer.concat(pieces).indexOf('fourth') === -1) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.deepEqual([state.done, state.error], [1, undefined]);
    const after = Buffer.concat(pieces);
    const whole = frame(connections.plugin, Buffer.alloc(Math.min(length, 4096), 7));
    const rest =
      length > 4096 ? frame(connections.plugin, Buffer.alloc(length - 4096, 7)) : Buffer.alloc(0);
    const first = Buffer.concat([whole, rest]);
    assert.deepEqual(before, first.subarray(0, -1), `all but the last of ${length}`);
    assert.deepEqual(after.subarray(0, first.length), first);
    const tail = after.subarray(first.length).toString('latin1');
    assert.match(tail, /^.{8}second.{8}thir.{8}fourth.{8}!$/s);
    mux.close();
  }
});

test('a last byte that has no room when the trunk ends is given up, and what it held too', async () => {
  const { mux, far, state } = apart(Buffer.from('message'));
  const other = mux.open(connections.runtime).on('error', () => undefined);
  const held = new Promise((resolve) => {
    other.write('held', resolve);
  });
  while (state.asked === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  far.end();
  assert.ok((await held) instanceof Error);
  while (state.done === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.match(String(state.error), /connection closed/);
});

test('a last byte that can not be sent ends the trunk', async () => {
  const [near] = duplexPair();
  const mux = new Mux(near);
  const errors: unknown[] = [];
  const stream = mux.open(1).on('error', (error) => errors.push(error));
  const closed = new Promise((resolve) => stream.once('close', resolve));
  const failed = new Promise((resolve) => {
    mux.writeLastApart(
      1,
      Buffer.from('x'),
      () => {
        throw new Error('broken pipe');
      },
      resolve,
    );
  });
  await closed;
  assert.match(String((await failed) as Error), /nri: connection/);
  assert.equal(errors.length, 1);
  assert.equal(near.destroyed, true);
});

test('a frame above the limit ends the trunk and says why', async () => {
  const [near, far] = duplexPair();
  const stream = new Mux(near).open(1);
  far.write(Buffer.from('00000001ffffffff', 'hex'));
  const [error] = (await once(stream, 'error')) as [Error];
  assert.match(error.message, /frame of 4294967295 bytes/);
  assert.equal(near.destroyed, true);
});

test('when one end goes, both connections end', async () => {
  const [near, far] = duplexPair();
  const mux = new Mux(near);
  const streams = [mux.open(1), mux.open(2)];
  const ended = Promise.all(streams.map((stream) => once(stream.resume(), 'close')));
  far.end();
  await ended;
  assert.equal(near.destroyed, true);
});

test('a connection that nobody reads stops the trunk at a bound, and lets it go on later', async () => {
  const [near, far] = duplexPair();
  const mux = new Mux(near);
  const stream = mux.open(1);
  const payload = frame(1, Buffer.alloc(64 << 10));
  let sent = 0;
  const pump = (): void => {
    while (sent < 200) {
      sent++;
      if (!far.write(payload)) {
        far.once('drain', pump);
        return;
      }
    }
  };
  pump();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(stream.readableLength <= (1 << 20) + (256 << 10), `${stream.readableLength} held`);
  assert.ok(sent < 200);
  let read = 0;
  stream.on('data', (chunk: Buffer) => {
    read += chunk.length;
  });
  while (read < 200 * (64 << 10)) {
    await new Promise(setImmediate);
  }
  mux.close();
});

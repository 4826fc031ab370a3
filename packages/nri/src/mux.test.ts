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

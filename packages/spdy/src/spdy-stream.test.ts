import assert from 'node:assert/strict';
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { describe, it } from 'node:test';
import { SpdyConnection } from './connection.ts';
import { encodeControl } from './encode.ts';
import { HeaderEncoder } from './header-block.ts';
import { SpdyError } from './spdy-error.ts';
import type { SpdyStream } from './spdy-stream.ts';
import { headersOf } from './testing.ts';

import { connect, data, RawPeer, reply, settled } from './testing-peers.ts';

describe('streams', () => {
  it('carry bytes both ways and end one side at a time', async (t) => {
    const { client, opened } = connect(t);
    const near = await client.open(headersOf({ streamtype: 'data', port: '80' }));
    const far = opened[0];
    assert.ok(far);
    assert.deepEqual([...far.headers], [...headersOf({ streamtype: 'data', port: '80' })]);
    near.end('question');
    assert.equal(await text(far), 'question');
    far.end('answer');
    assert.equal(await text(near), 'answer');
    await settled();
    assert.deepEqual([near.closed, far.closed], [true, true]);
    assert.equal(near.errored, null);
  });

  it('have odd ids from the client and even ids from the server', async (t) => {
    const [near, far] = duplexPair();
    const options = { onStream: (stream: SpdyStream) => stream.accept() };
    const client = new SpdyConnection(near, { role: 'client', ...options });
    const server = new SpdyConnection(far, { role: 'server', ...options });
    t.after(() => client.destroy());
    t.after(() => server.destroy());
    const ids = [client, client, server, server].map(async (c) => (await c.open(new Map())).id);
    assert.deepEqual(await Promise.all(ids), [1, 3, 2, 4]);
  });

  it('pass on data that came before they were accepted', async (t) => {
    const peer = new RawPeer(t, { onStream: (stream) => peer.opened.push(stream) });
    peer.open(1);
    peer.send(data(1, 'early', true));
    await settled();
    const stream = peer.opened[0];
    assert.ok(stream);
    assert.equal(await text(stream), 'early');
    assert.deepEqual(await peer.frames(), []);
    stream.write('now');
    assert.deepEqual(await peer.frames(), [
      reply(1),
      { type: 'data', streamId: 1, data: Buffer.from('now').toString('hex'), fin: false },
    ]);
  });

  it('drop data that came before the reply to them, as spdystream does', async (t) => {
    const [near, far] = duplexPair();
    const client = new SpdyConnection(near, { role: 'client' });
    t.after(() => client.destroy());
    const opening = client.open(new Map());
    const encoder = new HeaderEncoder();
    far.write(data(1, 'lost'));
    far.write(
      encodeControl({ type: 'syn-reply', streamId: 1, headers: new Map(), fin: false }, encoder),
    );
    far.write(data(1, 'kept', true));
    assert.equal(await text(await opening), 'kept');
  });

  it('are reset by destroy(), and not when both sides had ended', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1);
    peer.open(3);
    peer.send(data(3, '', true));
    await settled();
    peer.opened[0]?.destroy();
    peer.opened[1]?.resume().end();
    await settled();
    peer.opened[1]?.destroy();
    assert.deepEqual(await peer.frames(), [
      reply(1),
      reply(3),
      { type: 'rst-stream', streamId: 1, status: 5 },
      { type: 'data', streamId: 3, data: '', fin: true },
    ]);
  });

  it('drop what still comes when they were destroyed, quietly if so wanted', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1);
    await settled();
    const stream = peer.opened[0];
    assert.ok(stream);
    stream.quiet = true;
    stream.destroy();
    for (let i = 0; i < 100; i++) {
      peer.send(data(1, 'x'.repeat(100_000)));
    }
    peer.send({ type: 'ping', id: 1 });
    assert.deepEqual(await peer.frames(), [reply(1), { type: 'ping', id: 1 }]);
  });

  it('give what they have when the peer resets them, then close; writes fail', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1);
    peer.send(data(1, 'last words'));
    await settled();
    const stream = peer.opened[0];
    assert.ok(stream);
    const status = once(stream, 'reset');
    peer.send({ type: 'rst-stream', streamId: 1, status: 8 });
    assert.deepEqual(await status, [8]);
    assert.equal(await text(stream), 'last words');
    await settled();
    assert.equal(stream.destroyed, true);

    peer.open(3);
    await settled();
    const other = peer.opened[1];
    assert.ok(other);
    const reset = once(other, 'reset');
    peer.send({ type: 'rst-stream', streamId: 3, status: 5 });
    await reset;
    const written = await new Promise((resolve) => other.write('late', resolve));
    assert.match(String(written), /reset with status 5|destroyed/);
    // The peer knows already.
    assert.deepEqual(await peer.frames(), [reply(1), reply(3)]);
  });

  it('close when the peer resets them, though nobody reads', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1);
    await settled();
    peer.send({ type: 'rst-stream', streamId: 1, status: 5 });
    await settled();
    assert.equal(peer.opened[0]?.closed, true);
  });

  it('may be closed for one side from the start', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1, { fin: true });
    peer.open(3, { unidirectional: true });
    peer.send(data(3, 'one way', true));
    await settled();
    const [read, write] = peer.opened;
    assert.ok(read !== undefined && write !== undefined);
    assert.equal(await text(read), '');
    assert.equal(await text(write), 'one way');
    assert.equal(write.writable, false);
    read.end('fine');
    assert.deepEqual((await peer.frames()).slice(2), [
      { type: 'data', streamId: 1, data: Buffer.from('fine').toString('hex'), fin: true },
    ]);
  });

  it('may be used for writing alone: what comes in is dropped', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1);
    peer.send(data(1, 'x'.repeat(10_000)));
    await settled();
    const stream = peer.opened[0];
    assert.ok(stream);
    stream.ignoreInput();
    peer.send(data(1, 'x'.repeat(10_000)));
    stream.end('out');
    await finished(stream);
    assert.equal(stream.heldBytes, 0);
    assert.deepEqual(await peer.frames(), [
      reply(1),
      { type: 'data', streamId: 1, data: Buffer.from('out').toString('hex'), fin: true },
    ]);
  });

  it('hear of HEADERS frames', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1);
    await settled();
    const stream = peer.opened[0];
    assert.ok(stream);
    const heard = once(stream, 'headers');
    peer.send({ type: 'headers', streamId: 1, headers: headersOf({ more: 'x' }), fin: true });
    assert.deepEqual(await heard, [headersOf({ more: 'x' })]);
    assert.equal(await text(stream), '');
  });
});

describe('open()', () => {
  it('rejects when the peer refuses', async (t) => {
    const { client } = connect(t, { onStream: (stream) => stream.reset(3) });
    await assert.rejects(client.open(new Map()), {
      kind: 'canceled',
      message: /refused, status 3/,
    });
  });

  it('rejects when its signal fires, and takes the stream back', async (t) => {
    const { client, opened } = connect(t, { onStream: (stream) => opened.push(stream) });
    const abort = new AbortController();
    const opening = client.open(new Map(), { signal: abort.signal });
    await settled();
    abort.abort(new Error('enough'));
    await assert.rejects(opening, /enough/);
    await settled();
    assert.equal(opened[0]?.readableEnded || opened[0]?.writable, true);
    await assert.rejects(async () => client.open(new Map(), { signal: abort.signal }), /enough/);
  });

  it('rejects when the connection goes before the reply, or has gone', async (t) => {
    const { client, server } = connect(t, { onStream: () => {} });
    const opening = client.open(new Map());
    await settled();
    server.destroy();
    await assert.rejects(opening, SpdyError);
    await assert.rejects(client.open(new Map()), { kind: 'unavailable' });
  });

  it('rejects after the peer said GOAWAY', async (t) => {
    const peer = new RawPeer(t);
    peer.send({ type: 'goaway', lastStreamId: 0, status: 0 });
    await settled();
    await assert.rejects(peer.server.open(new Map()), /takes no more streams/);
  });
});

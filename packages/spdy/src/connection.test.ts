import assert from 'node:assert/strict';
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { SpdyConnection } from './connection.ts';
import { encodeControl } from './encode.ts';
import { HeaderEncoder } from './header-block.ts';
import type { SpdyError } from './spdy-error.ts';
import { parseAll } from './testing.ts';

import { connect, data, RawPeer, reply, settled } from './testing-peers.ts';

describe('a connection', () => {
  it('answers pings of the peer, knows answers to its own, and ignores the rest', async (t) => {
    const peer = new RawPeer(t);
    const ping = peer.server.ping();
    peer.send({ type: 'ping', id: 7 }, { type: 'ping', id: 2 }, { type: 'ping', id: 1000 });
    assert.ok((await ping) >= 0);
    assert.deepEqual(await peer.frames(), [
      { type: 'ping', id: 2 },
      { type: 'ping', id: 7 },
    ]);
  });

  it('pings by itself when it is told to', { timeout: 10_000 }, async (t) => {
    const [near, far] = duplexPair();
    const client = new SpdyConnection(near, { role: 'client', pingIntervalMs: 5 });
    t.after(() => client.destroy());
    const [chunk] = (await once(far, 'data')) as [Buffer];
    assert.deepEqual(parseAll([chunk]), [{ type: 'ping', id: 1 }]);
  });

  it('ignores SETTINGS, WINDOW_UPDATE, and frames of streams that are gone', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1);
    peer.send(
      { type: 'settings', entries: [{ id: 7, flags: 0, value: 0 }] },
      { type: 'window-update', streamId: 1, delta: 1 },
      { type: 'rst-stream', streamId: 99, status: 5 },
      { type: 'headers', streamId: 99, headers: new Map(), fin: true },
      { type: 'syn-reply', streamId: 99, headers: new Map(), fin: false },
      { type: 'syn-reply', streamId: 1, headers: new Map(), fin: true },
      data(1, 'still here', true),
    );
    await settled();
    assert.ok(peer.opened[0]);
    assert.equal(await text(peer.opened[0]), 'still here');
  });

  it('writes at once although the peer never opens its window', async (t) => {
    const peer = new RawPeer(t);
    peer.send({ type: 'settings', entries: [{ id: 7, flags: 0, value: 0 }] });
    peer.open(1);
    await settled();
    peer.opened[0]?.end(Buffer.alloc(1_000_000));
    const frames = await peer.frames();
    assert.equal(frames.at(-1)?.type, 'data');
    const sent = frames.reduce((sum, f) => sum + (f.type === 'data' ? f.data.length / 2 : 0), 0);
    assert.equal(sent, 1_000_000);
  });

  it('refuses stream ids of the wrong side or that do not grow', async (t) => {
    const peer = new RawPeer(t);
    peer.open(5);
    peer.open(5);
    peer.open(3);
    peer.open(6);
    assert.equal(peer.opened.length, 0);
    assert.deepEqual(await peer.frames(), [
      reply(5),
      ...[5, 3, 6].map((streamId) => ({ type: 'rst-stream', streamId, status: 1 }) as const),
    ]);
    assert.equal(peer.opened.length, 1);
  });

  it('refuses one stream more than its limit, until another has ended', async (t) => {
    const peer = new RawPeer(t, { limits: { maxStreams: 2 } });
    peer.open(1);
    peer.open(3);
    peer.open(5);
    await settled();
    peer.opened[0]?.resume().end();
    peer.send(data(1, '', true));
    peer.open(7);
    const last = (await peer.frames()).filter(({ type }) => type !== 'data');
    assert.deepEqual(last, [
      reply(1),
      reply(3),
      { type: 'rst-stream', streamId: 5, status: 3 },
      reply(7),
    ]);
  });

  it('refuses all streams when nobody wants them', async (t) => {
    const { client, server } = connect(t);
    await assert.rejects(server.open(new Map()), /refused, status 3/);
    assert.equal(client.gone.aborted, false);
  });

  it('ends on a bad frame: streams fail, the peer is told, the transport closes', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1);
    await settled();
    const ended = once(peer.wire, 'end');
    peer.send(Buffer.from('800300ff00000000', 'hex'), data(1, 'too late'));
    await ended;
    assert.equal((peer.server.gone.reason as SpdyError).kind, 'invalid-argument');
    assert.match(String(peer.opened[0]?.errored), /unknown type 255/);
    assert.deepEqual(await peer.frames(), [
      reply(1),
      { type: 'rst-stream', streamId: 1, status: 5 },
      { type: 'goaway', lastStreamId: 1, status: 1 },
    ]);
    peer.wire.end();
    await peer.server.closed;
  });

  it('ends on DATA for a stream that nobody opened', async (t) => {
    const peer = new RawPeer(t);
    peer.send(data(1, 'x'));
    await settled();
    assert.match(String(peer.server.gone.reason), /stream 1, which nobody opened/);
  });

  it('close() sends what was written, resets, says GOAWAY, and waits for the peer', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1);
    peer.open(3);
    await settled();
    peer.opened[0]?.end('bye');
    await settled();
    const closed = peer.server.close();
    let isClosed = false;
    void closed.then(() => {
      isClosed = true;
    });
    // What the peer still sends is dropped, not refused.
    peer.send(data(3, 'x'.repeat(1_000_000)));
    await settled();
    assert.equal(isClosed, false);
    peer.wire.end();
    await closed;
    assert.deepEqual(await peer.frames(), [
      reply(1),
      reply(3),
      { type: 'data', streamId: 1, data: Buffer.from('bye').toString('hex'), fin: true },
      { type: 'rst-stream', streamId: 1, status: 5 },
      { type: 'rst-stream', streamId: 3, status: 5 },
      { type: 'goaway', lastStreamId: 3, status: 0 },
    ]);
  });

  it('waits for a peer that does not close no longer than it was told', async (t) => {
    const peer = new RawPeer(t, { lingerMs: 5 });
    await peer.server.close();
    assert.equal(peer.server.gone.aborted, true);
  });

  it('gives readers what had come before the peer closed, and fails the others', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1);
    peer.open(3);
    peer.send(data(1, 'complete', true), data(3, 'half'));
    await settled();
    peer.wire.end();
    await peer.server.closed;
    const [complete, half] = peer.opened;
    assert.ok(complete !== undefined && half !== undefined);
    assert.equal(await text(complete), 'complete');
    assert.match(String(half.errored), /peer closed/);
  });

  it('takes what came in with the upgrade as its first bytes', async (t) => {
    const [near, far] = duplexPair();
    const first = encodeControl({ type: 'ping', id: 1 }, new HeaderEncoder());
    far.write(first.subarray(6));
    const server = new SpdyConnection(near, { role: 'server', head: first.subarray(0, 6) });
    t.after(() => server.destroy());
    const [answer] = (await once(far, 'data')) as [Buffer];
    assert.deepEqual(answer, first);
  });

  it('is gone when nothing was heard for the idle time', async (t) => {
    const peer = new RawPeer(t, { idleTimeoutMs: 20 });
    await once(peer.server.gone, 'abort');
    assert.equal((peer.server.gone.reason as SpdyError).kind, 'deadline-exceeded');
    assert.deepEqual(await peer.frames(), [{ type: 'goaway', lastStreamId: 0, status: 0 }]);
  });

  it('is not idle while the peer pings', async (t) => {
    const idleTimeoutMs = 600;
    const peer = new RawPeer(t, { idleTimeoutMs });
    const gone = once(peer.server.gone, 'abort');
    const start = performance.now();
    let longestSilenceMs = 0;
    for (let id = 1; !peer.server.gone.aborted && performance.now() - start < 900; id += 2) {
      const saidAt = performance.now();
      const answer = once(peer.wire, 'data');
      peer.send({ type: 'ping', id });
      await answer;
      await new Promise((resolve) => setTimeout(resolve, 10));
      longestSilenceMs = Math.max(longestSilenceMs, performance.now() - saidAt);
    }
    // A host that was held up as long has let it go rightly.
    assert.ok(
      !peer.server.gone.aborted || longestSilenceMs >= idleTimeoutMs,
      'its pings were not heard',
    );
    await gone;
  });

  it('is gone at once on a transport that was closed before', async () => {
    const [near] = duplexPair();
    near.destroy();
    await once(near, 'close');
    const client = new SpdyConnection(near, { role: 'client' });
    await client.closed;
    assert.equal((client.gone.reason as SpdyError).kind, 'unavailable');
    await client.close();
  });

  it('lets a transport that fails end it', async (t) => {
    const [near] = duplexPair();
    const client = new SpdyConnection(near, { role: 'client' });
    t.after(() => client.destroy());
    const opening = client.open(new Map());
    near.destroy(new Error('cable cut'));
    await assert.rejects(opening, { kind: 'unavailable' });
    await client.closed;
    assert.match(String((client.gone.reason as Error).cause), /cable cut/);
    await assert.rejects(client.ping(), { kind: 'unavailable' });
  });
});

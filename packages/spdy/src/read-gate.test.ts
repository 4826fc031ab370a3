import assert from 'node:assert/strict';
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { SpdyConnection } from './connection.ts';
import { encodeControl } from './encode.ts';
import { HeaderEncoder } from './header-block.ts';
import type { SpdyStream } from './spdy-stream.ts';

import { connect, data, RawPeer, settled } from './testing-peers.ts';

describe('buffering', () => {
  it('stops reading when one stream holds its limit, and has lost nothing afterwards', async (t) => {
    const limits = { streamBufferBytes: 100_000 };
    const { client, opened } = connect(t, { limits });
    const slow = await client.open(new Map());
    const quick = await client.open(new Map());
    const sent = Buffer.alloc(3_000_000, 'slow reader ');
    slow.end(sent);
    await settled();
    const [slowFar, quickFar] = opened;
    assert.ok(slowFar !== undefined && quickFar !== undefined);
    const held = slowFar.heldBytes + slowFar.readableLength;
    assert.ok(held >= 100_000 && held < 500_000, `${held} bytes`);
    // Without windows the other stream waits too; nothing of it is lost.
    quick.end('me too');
    assert.deepEqual(await buffer(slowFar), sent);
    assert.equal(await text(quickFar), 'me too');
  });

  it('lets others pass while a stream holds less than its limit', async (t) => {
    const { client, opened } = connect(t);
    const slow = await client.open(new Map());
    const quick = await client.open(new Map());
    slow.write(Buffer.alloc(300_000));
    quick.end('passing');
    await settled();
    assert.ok(opened[1]);
    assert.equal(await text(opened[1]), 'passing');
    assert.ok((opened[0]?.heldBytes ?? 0) > 100_000);
  });

  it('stops reading when all streams together hold the limit of the connection', async (t) => {
    const { client, opened } = connect(t, { limits: { connectionBufferBytes: 500_000 } });
    const streams = await Promise.all(Array.from({ length: 20 }, () => client.open(new Map())));
    for (const stream of streams) {
      stream.end(Buffer.alloc(200_000));
    }
    await settled();
    const held = opened.reduce((sum, stream) => sum + stream.heldBytes, 0);
    assert.ok(held > 400_000 && held < 700_000, `${held} bytes`);
    const read = await Promise.all(opened.map(async (stream) => (await buffer(stream)).length));
    assert.deepEqual(read, Array(20).fill(200_000));
  });

  it('takes memory for the bytes that wait, not for the chunks that they came in', async (t) => {
    const peer = new RawPeer(t);
    peer.open(1);
    peer.open(3);
    await settled();
    peer.opened[1]?.resume();
    const frame = Buffer.concat([data(1, 'x'), data(3, 'y'.repeat(60_000))]);
    for (let i = 0; i < 2000; i++) {
      peer.send(frame);
    }
    await settled();
    assert.ok((peer.opened[0]?.heldBytes ?? 0) < 40_000, `${peer.opened[0]?.heldBytes}`);
    peer.opened[0]?.end();
    peer.send(data(1, '', true));
    assert.ok(peer.opened[0]);
    assert.equal((await text(peer.opened[0])).length, 2000);
  });

  it('does not run ahead of a peer that does not read', async (t) => {
    const [near, far] = duplexPair();
    const opened: SpdyStream[] = [];
    const server = new SpdyConnection(far, {
      role: 'server',
      onStream: (stream) => opened.push(stream),
    });
    t.after(() => server.destroy());
    const encoder = new HeaderEncoder();
    near.write(
      encodeControl(
        {
          type: 'syn-stream',
          streamId: 1,
          associatedId: 0,
          priority: 0,
          headers: new Map(),
          fin: false,
          unidirectional: false,
        },
        encoder,
      ),
    );
    await settled();
    const stream = opened[0];
    assert.ok(stream);
    let written = 0;
    while (stream.write(Buffer.alloc(16_384)) && written < 10_000_000) {
      written += 16_384;
      await new Promise(setImmediate);
    }
    assert.ok(written < 500_000, `${written} bytes`);
    near.resume();
    await once(stream, 'drain');
  });

  it('stops reading a peer that makes it answer and does not take the answers', async (t) => {
    const [near, far] = duplexPair();
    const server = new SpdyConnection(far, { role: 'server' });
    t.after(() => server.destroy());
    const encoder = new HeaderEncoder();
    const pings = Buffer.concat(
      Array.from({ length: 5000 }, (_, i) =>
        encodeControl({ type: 'ping', id: 2 * i + 1 }, encoder),
      ),
    );
    let sent = 0;
    const flood = (async () => {
      for (let i = 0; i < 30; i++) {
        if (!near.write(pings)) {
          await once(near, 'drain');
        }
        sent += 1;
      }
    })();
    await settled();
    assert.ok(sent < 20, `${sent} floods`);
    assert.ok(far.writableLength < 400_000, `${far.writableLength} bytes of answers`);
    let answered = 0;
    near.on('data', (chunk: Buffer) => {
      answered += chunk.length;
    });
    await flood;
    await settled();
    assert.equal(answered, 30 * pings.length);
  });
});

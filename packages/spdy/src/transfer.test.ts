import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, it, type TestContext } from 'node:test';
import { SpdyConnection } from './connection.ts';
import type { SpdyStream } from './spdy-stream.ts';

const block = randomBytes(1024 * 1024);

async function connectOverTcp(
  t: TestContext,
  onStream: (stream: SpdyStream, connection: SpdyConnection) => void,
): Promise<SpdyConnection> {
  const server = createServer((socket) => {
    const connection: SpdyConnection = new SpdyConnection(socket, {
      role: 'server',
      onStream: (stream) => onStream(stream, connection),
    });
    t.after(() => connection.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  const client = new SpdyConnection(socket, { role: 'client' });
  t.after(() => client.destroy());
  return client;
}

async function send(stream: Writable, megabytes: number): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(
    Readable.from(
      (function* () {
        for (let i = 0; i < megabytes; i++) {
          // Pieces of odd sizes, so that frames and blocks do not coincide.
          for (let at = 0, size = 1 + i; at < block.length; at += size, size = size * 7 + 1) {
            size %= 99_991;
            const piece = block.subarray(at, at + size);
            hash.update(piece);
            yield piece;
          }
        }
      })(),
    ),
    stream,
  );
  return hash.digest('hex');
}

async function receive(stream: Readable): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk);
  }
  return hash.digest('hex');
}

describe('over TCP', () => {
  it('50 MB each way on one connection arrive whole', { timeout: 60_000 }, async (t) => {
    const far: Promise<[string, string]>[] = [];
    const client = await connectOverTcp(t, (stream) => {
      stream.accept();
      far.push(Promise.all([send(stream, 25), receive(stream)]));
    });
    const streams = await Promise.all([client.open(new Map()), client.open(new Map())]);
    const near = await Promise.all(
      streams.map((stream) => Promise.all([send(stream, 25), receive(stream)])),
    );
    for (const [i, [sentFar, receivedFar]] of (await Promise.all(far)).entries()) {
      assert.deepEqual(near[i], [receivedFar, sentFar]);
    }
  });

  it('what was written before close() arrives, though the peer was still writing', async (t) => {
    const client = await connectOverTcp(t, (stream, connection) => {
      stream.accept();
      // Reads nothing, so there is unread input when it closes.
      stream.end(block, () => void connection.close());
    });
    const stream = await client.open(new Map());
    stream.write(block);
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
    }
    assert.ok(Buffer.concat(chunks).equals(block));
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants } from 'node:http2';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { RuntimeError } from '@gantry/errors';
import {
  answerOf,
  callRaw,
  connectRaw,
  frame,
  listImages,
  openCall,
  streamImages,
} from './testing-client.ts';
import { dataFrame, headersFrame, preface, resetFrame } from './testing-frames.ts';
import { echo, startServer } from './testing-server.ts';

const hello = Buffer.from('hello');

test('an answer is headers, one message and trailers', async (t) => {
  const { socket } = await startServer(t, echo);
  const { headers, body, trailers } = await callRaw(connectRaw(t, socket), {}, frame(hello));
  assert.deepEqual(Object.entries(headers), [
    [':status', 200],
    ['content-type', 'application/grpc'],
  ]);
  assert.deepEqual(body, frame(hello));
  assert.deepEqual(Object.entries(trailers ?? {}), [['grpc-status', '0']]);
});

test('a request may come byte by byte', async (t) => {
  const { socket } = await startServer(t, echo);
  const bytes = [...frame(hello)].map((byte) => Uint8Array.of(byte));
  const { body } = await callRaw(connectRaw(t, socket), {}, ...bytes);
  assert.deepEqual(body, frame(hello));
});

test('what is not gRPC is told by HTTP status', async (t) => {
  const { socket } = await startServer(t, echo);
  const session = connectRaw(t, socket);
  const statusOf = async (headers: Record<string, string>): Promise<unknown> =>
    (await callRaw(session, headers, frame(hello))).headers[':status'];
  assert.equal(await statusOf({ ':method': 'PUT' }), 405);
  assert.equal(await statusOf({ 'content-type': 'application/json' }), 415);
  assert.equal(await statusOf({ 'content-type': 'application/grpc-web' }), 415);
  assert.equal(await statusOf({ 'content-type': 'application/grpc+proto' }), 200);
  assert.equal(await statusOf({ 'content-type': 'application/grpc; charset=utf-8' }), 200);
});

test('an error is one header block, its message percent-encoded', async (t) => {
  const { socket } = await startServer(t, {
    unary: () => Promise.reject(new RuntimeError('not-found', 'größe\n100%')),
  });
  const { headers, trailers } = await callRaw(connectRaw(t, socket), {}, frame(hello));
  assert.equal(headers['grpc-status'], '5');
  assert.equal(headers['grpc-message'], 'gr%C3%B6%C3%9Fe%0A100%25');
  assert.equal(trailers, undefined);
});

test('an error of a megabyte is cut, not lost', async (t) => {
  const { socket } = await startServer(t, {
    unary: () => Promise.reject(new RuntimeError('internal', 'ü'.repeat(1 << 20))),
  });
  const { headers } = await callRaw(connectRaw(t, socket), {}, frame(hello));
  assert.equal(headers[':status'], 200);
  assert.match(decodeURIComponent(String(headers['grpc-message'])), /^ü+ \(cut\)$/);
});

test('a method that is not served is unimplemented, whatever its path', async (t) => {
  const { socket } = await startServer(t, echo);
  for (const path of ['/', '/runtime.v1.ImageService/', `${listImages}/`, `${listImages}?x`]) {
    const { headers } = await callRaw(connectRaw(t, socket), { ':path': path }, frame(hello));
    assert.equal(headers['grpc-status'], '12');
    assert.equal(headers['grpc-message'], `unknown method ${path}`);
  }
});

test('a request that is no message is answered by its fault', async (t) => {
  const { socket } = await startServer(t, echo, { maxMessageBytes: 100 });
  const session = connectRaw(t, socket);
  const fault = async (...parts: Buffer[]): Promise<unknown> =>
    (await callRaw(session, {}, ...parts)).headers['grpc-status'];
  assert.equal(await fault(), '12');
  assert.equal(await fault(frame(hello), frame(hello)), '12');
  assert.equal(await fault(frame(hello).subarray(0, 7)), '13');
  assert.equal(await fault(Buffer.from('GARBAGE')), '13');
  assert.equal(await fault(frame(Buffer.alloc(101))), '8');
  assert.deepEqual((await callRaw(session, {}, frame(hello))).body, frame(hello));
});

test('a large message is refused by its length, before it is sent', async (t) => {
  const { socket } = await startServer(t, echo, { maxMessageBytes: 100 });
  const stream = openCall(connectRaw(t, socket));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(3_000_000_000, 1);
  stream.write(prefix);
  const { headers, rstCode } = await answerOf(stream);
  assert.equal(headers['grpc-status'], '8');
  assert.match(
    String(headers['grpc-message']),
    /3000000000 bytes is larger than max \(100 bytes\)/,
  );
  assert.equal(rstCode, constants.NGHTTP2_NO_ERROR);
});

test('an answer over the limit is resource-exhausted', async (t) => {
  const { socket } = await startServer(
    t,
    { unary: () => Promise.resolve(Buffer.alloc(101)) },
    { maxMessageBytes: 100 },
  );
  const { headers } = await callRaw(connectRaw(t, socket), {}, frame(hello));
  assert.equal(headers['grpc-status'], '8');
  assert.match(String(headers['grpc-message']), /101 bytes is larger than max \(100 bytes\)/);
});

test('gzip is understood, within the limit', async (t) => {
  const { socket } = await startServer(t, echo, { maxMessageBytes: 1000 });
  const session = connectRaw(t, socket);
  const call = (encoding: string, body: Buffer): ReturnType<typeof callRaw> =>
    callRaw(session, { 'grpc-encoding': encoding }, frame(body, 1));
  assert.deepEqual((await call('gzip', gzipSync(hello))).body, frame(hello));

  const bomb = await call('gzip', gzipSync(Buffer.alloc(1_000_000 >> 1)));
  assert.equal(bomb.headers['grpc-status'], '8');
  assert.equal((await call('gzip', hello)).headers['grpc-status'], '13');
  assert.equal((await call('identity', hello)).headers['grpc-status'], '13');
  const unknown = await call('snappy', hello);
  assert.equal(unknown.headers['grpc-status'], '12');
  assert.equal(unknown.headers['grpc-accept-encoding'], 'identity,gzip');
});

test('the time of a call is kept, also while its request is on the way', async (t) => {
  const { socket } = await startServer(t, { unary: () => new Promise(() => undefined) });
  const session = connectRaw(t, socket);
  const late = await callRaw(session, { 'grpc-timeout': '50000u' }, frame(hello));
  assert.equal(late.headers['grpc-status'], '4');
  const waiting = await answerOf(openCall(session, { 'grpc-timeout': '50m' }));
  assert.equal(waiting.headers['grpc-status'], '4');
  const garbage = await callRaw(session, { 'grpc-timeout': 'soon' }, frame(hello));
  assert.equal(garbage.headers['grpc-status'], '13');
});

for (const code of [constants.NGHTTP2_CANCEL, constants.NGHTTP2_NO_ERROR]) {
  test(`a stream that is reset with code ${code} aborts its route and returns it`, async (t) => {
    const ended = Promise.withResolvers<string>();
    const { socket } = await startServer(t, {
      async *stream(_method, _body, { signal }) {
        try {
          yield hello;
          await once(signal, 'abort');
        } finally {
          ended.resolve((signal.reason as Error).name);
        }
      },
    });
    const stream = openCall(connectRaw(t, socket), { ':path': streamImages });
    stream.end(frame(hello));
    await once(stream, 'data');
    stream.close(code);
    assert.equal(await ended.promise, 'AbortError');
  });
}

test('a request that is reset before its end reaches no route', async (t) => {
  const bodies: string[] = [];
  const whole = Promise.withResolvers<void>();
  const { socket } = await startServer(t, {
    unary: (_method, body) => {
      bodies.push(Buffer.from(body).toString());
      if (bodies.at(-1) === 'hello') {
        whole.resolve();
      }
      return Promise.resolve(body);
    },
  });
  const headers = {
    ':method': 'POST',
    ':scheme': 'http',
    ':authority': 'localhost',
    ':path': listImages,
    'content-type': 'application/grpc',
  };
  const client = createConnection(socket);
  t.after(() => client.destroy());
  client.resume();
  client.write(preface);
  for (const [i, code] of [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_CANCEL].entries()) {
    const id = 4 * i + 1;
    client.write(headersFrame(id, headers));
    client.write(dataFrame(id, frame(Buffer.from('reset'))));
    await sleep(20);
    client.write(resetFrame(id, code));
    // Opened and reset in one write.
    client.write(
      Buffer.concat([
        headersFrame(id + 2, { ...headers, ':method': 'PUT' }),
        resetFrame(id + 2, code),
      ]),
    );
    await sleep(20);
  }
  client.write(headersFrame(9, headers));
  client.write(dataFrame(9, frame(hello), true));
  await whole.promise;
  assert.deepEqual(bodies, ['hello']);
});

test('a client that goes away aborts its calls', async (t) => {
  const begun = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<string>();
  const { socket } = await startServer(t, {
    unary: async (_method, body, { signal }) => {
      begun.resolve();
      await once(signal, 'abort');
      aborted.resolve((signal.reason as Error).name);
      return body;
    },
  });
  const session = connectRaw(t, socket);
  openCall(session).end(frame(hello));
  await begun.promise;
  session.destroy();
  assert.equal(await aborted.promise, 'AbortError');
});

test('a route that is asked for its signal late finds it aborted', async (t) => {
  const begun = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const seen = Promise.withResolvers<unknown>();
  const { socket } = await startServer(t, {
    unary: async (_method, body, call) => {
      begun.resolve();
      await gone.promise;
      await sleep(50);
      // On a host that was held up as long, what has come in is heard before.
      for (let turn = 0; turn < 10; turn += 1) {
        await new Promise(setImmediate);
      }
      seen.resolve(call.signal.reason);
      return body;
    },
  });
  const session = connectRaw(t, socket);
  openCall(session).end(frame(hello));
  await begun.promise;
  session.destroy();
  gone.resolve();
  assert.equal(((await seen.promise) as Error).name, 'AbortError');
});

test('64 MB calls beside each other pass on one connection', async (t) => {
  const { socket } = await startServer(t, echo);
  const session = connectRaw(t, socket);
  await once(session, 'connect');
  session.setLocalWindowSize(64 << 20);
  const big = frame(Buffer.alloc(64 << 20, 'x'));
  const [a, b, small] = await Promise.all([
    callRaw(session, {}, big),
    callRaw(session, {}, big),
    callRaw(session, {}, frame(hello)),
  ]);
  assert.ok(a.body.equals(big) && b.body.equals(big));
  assert.deepEqual(small.body, frame(hello));
});

test('clients that speak no HTTP/2 are dropped, the others are served', async (t) => {
  const { socket } = await startServer(t, echo);
  for (const garbage of ['GET / HTTP/1.1\r\nhost: x\r\n\r\n', '\0'.repeat(100), 'PRI * HTTP']) {
    const client = createConnection(socket);
    client.on('error', () => undefined);
    client.resume();
    client.end(garbage);
    await once(client, 'close');
  }
  assert.deepEqual((await callRaw(connectRaw(t, socket), {}, frame(hello))).body, frame(hello));
});

test('a client that says nothing does not hold a stop up', async (t) => {
  const server = await startServer(t, echo, { drainMs: 60_000 });
  const client = createConnection(server.socket);
  client.resume();
  await once(client, 'connect');
  const session = connectRaw(t, server.socket);
  await callRaw(session, {}, frame(hello));
  const goaway = once(session, 'goaway');
  await server[Symbol.asyncDispose]();
  await goaway;
});

test('a client that does not let go is cut off after the drain', async (t) => {
  const server = await startServer(t, echo, { drainMs: 100 });
  const client = createConnection({ path: server.socket, allowHalfOpen: true });
  t.after(() => client.destroy());
  await once(client, 'connect');
  await sleep(20);
  await server[Symbol.asyncDispose]();
});

test('a stop ends a stream whose route does not listen', async (t) => {
  const finish = Promise.withResolvers<void>();
  t.after(() => {
    finish.resolve();
  });
  const server = await startServer(t, {
    async *stream() {
      yield hello;
      await finish.promise;
    },
  });
  const stream = openCall(connectRaw(t, server.socket), { ':path': streamImages });
  const answer = answerOf(stream);
  stream.end(frame(hello));
  await once(stream, 'data');
  await server[Symbol.asyncDispose]();
  assert.equal((await answer).trailers?.['grpc-status'], '14');
});

test('a reader that stops reading stops the route, and gets all when it goes on', async (t) => {
  let made = 0;
  const { socket } = await startServer(t, {
    async *stream() {
      for (; made < 200; made++) {
        yield Buffer.alloc(100_000);
        await sleep(0);
      }
    },
  });
  const stream = openCall(connectRaw(t, socket), { ':path': streamImages });
  stream.end(frame(hello));
  await once(stream, 'response');
  await sleep(300);
  assert.ok(made < 20, `${made} messages of 100 KB for one who does not read`);
  const { body, trailers } = await answerOf(stream);
  assert.equal(body.length, 200 * 100_005);
  assert.equal(trailers?.['grpc-status'], '0');
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { link, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import {
  ImageService,
  ListImagesRequestSchema,
  ListImagesResponseSchema,
  RuntimeService,
  type StreamImagesResponse,
  StreamImagesResponseSchema,
} from '@gantry/proto';
import { dial, type Routes, type RpcClient, type RunningServer, serveRoutes } from './index.ts';
import { startServer, temporaryDirectory, unusedRoutes } from './testing-server.ts';

interface Fixture {
  readonly socket: string;
  readonly server: RunningServer;
  readonly images: RpcClient<typeof ImageService>;
  readonly runtime: RpcClient<typeof RuntimeService>;
}

async function start(t: TestContext, routes: Partial<Routes>, drainMs?: number): Promise<Fixture> {
  const server = await startServer(t, routes, drainMs === undefined ? {} : { drainMs });
  const { socket } = server;
  const connection = dial(socket);
  t.after(() => {
    connection.close();
  });
  return {
    socket,
    server,
    images: connection.client(ImageService),
    runtime: connection.client(RuntimeService),
  };
}

const imageList = (...ids: string[]): Uint8Array =>
  toBinary(
    ListImagesResponseSchema,
    create(ListImagesResponseSchema, { images: ids.map((id) => ({ id })) }),
  );

const streamItem = (id: string): Uint8Array =>
  toBinary(StreamImagesResponseSchema, create(StreamImagesResponseSchema, { images: [{ id }] }));

test('a unary call passes its method, bytes, headers and deadline', async (t) => {
  const deadlineMs = Date.now() + 60_000;
  const seen: unknown[] = [];
  const { images } = await start(t, {
    unary: (method, body, call) => {
      const request = fromBinary(ListImagesRequestSchema, body);
      seen.push(method, request.filter?.image?.image, call.header('traceparent'), call.header('x'));
      seen.push(Math.abs((call.deadlineMs ?? 0) - deadlineMs) < 5000);
      return Promise.resolve(imageList('a', 'b'));
    },
  });
  const response = await images.listImages(
    { filter: { image: { image: 'busybox' } } },
    { deadlineMs, metadata: { traceparent: '00-1-2-01' } },
  );
  assert.deepEqual(
    response.images.map((i) => i.id),
    ['a', 'b'],
  );
  assert.deepEqual(seen, [
    'runtime.v1.ImageService/ListImages',
    'busybox',
    '00-1-2-01',
    undefined,
    true,
  ]);
});

test('a call without a deadline has none', async (t) => {
  const { images } = await start(t, {
    unary: (_method, _body, call) => Promise.resolve(imageList(String(call.deadlineMs))),
  });
  assert.equal((await images.listImages({})).images[0]?.id, 'undefined');
});

test('messages of 20 MB pass both ways', async (t) => {
  const big = 'x'.repeat(20_000_000);
  const { images } = await start(t, {
    unary: (_method, body) => {
      const { filter } = fromBinary(ListImagesRequestSchema, body);
      return Promise.resolve(imageList(filter?.image?.image ?? ''));
    },
  });
  const response = await images.listImages({ filter: { image: { image: big } } });
  assert.equal(response.images[0]?.id === big, true);
});

test('an error keeps its kind and its causes', async (t) => {
  const { images } = await start(t, {
    unary: () =>
      Promise.reject(new RuntimeError('not-found', 'list', { cause: new Error('disk gone') })),
  });
  await assert.rejects(images.listImages({}), {
    name: 'RuntimeError',
    kind: 'not-found',
    message: 'list: disk gone',
  });
});

test('a route that throws at once is no crash', async (t) => {
  const { images } = await start(t, {
    unary: () => {
      throw new RuntimeError('failed-precondition', 'no');
    },
  });
  await assert.rejects(images.listImages({}), { kind: 'failed-precondition', message: 'no' });
});

test('a method of a service that is not served is unimplemented, and named', async (t) => {
  const { runtime } = await start(t, {});
  await assert.rejects(runtime.version({}), { kind: 'unimplemented', message: /Version/ });
});

test('the signal of a route aborts with TimeoutError at the deadline', async (t) => {
  const aborted = Promise.withResolvers<unknown>();
  let calls = 0;
  const { images } = await start(t, {
    unary: async (_method, _body, { signal }) => {
      calls += 1;
      await sleep(30_000, undefined, { signal }).catch(() => undefined);
      aborted.resolve(signal.reason);
      return imageList();
    },
  });
  // A busy host gives the call more than one try to come as far as the route.
  for (let timeoutMs = 500; calls === 0; timeoutMs *= 2) {
    await assert.rejects(images.listImages({}, { deadlineMs: Date.now() + timeoutMs }), {
      kind: 'deadline-exceeded',
    });
  }
  assert.equal(((await aborted.promise) as Error).name, 'TimeoutError');
});

test('the signal of a route aborts with AbortError when the client cancels', async (t) => {
  const begun = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<unknown>();
  const { images } = await start(t, {
    unary: async (_method, _body, { signal }) => {
      begun.resolve();
      await sleep(30_000, undefined, { signal }).catch(() => undefined);
      aborted.resolve(signal.reason);
      return imageList();
    },
  });
  const controller = new AbortController();
  const call = images.listImages({}, { signal: controller.signal });
  await begun.promise;
  controller.abort();
  await assert.rejects(call, { kind: 'canceled' });
  assert.equal(((await aborted.promise) as Error).name, 'AbortError');
});

test('a stream gives what its route yields, then its error', async (t) => {
  const { images } = await start(t, {
    async *stream() {
      yield streamItem('a');
      await sleep(1);
      throw new RuntimeError('unavailable', 'store is closing');
    },
  });
  const seen: (string | undefined)[] = [];
  await assert.rejects(
    async () => {
      for await (const { images: found } of images.streamImages({})) {
        seen.push(found[0]?.id);
      }
    },
    { kind: 'unavailable', message: 'store is closing' },
  );
  assert.deepEqual(seen, ['a']);
});

test('a client that reads slowly slows the route, and one that leaves ends it', async (t) => {
  const ended = Promise.withResolvers<void>();
  let sent = 0;
  const { images } = await start(t, {
    async *stream() {
      try {
        for (;;) {
          sent++;
          yield streamItem('x'.repeat(1_000_000));
          await sleep(0);
        }
      } finally {
        ended.resolve();
      }
    },
  });
  const received: StreamImagesResponse[] = [];
  for await (const message of images.streamImages({})) {
    received.push(message);
    await sleep(50);
    if (received.length === 4) {
      break;
    }
  }
  await ended.promise;
  assert.ok(sent < 60, `${sent} messages of 1 MB were made for a reader of 4`);
});

test('a server that stops ends streams with unavailable and lets unary calls end', async (t) => {
  const finish = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const { images, server, socket } = await start(t, {
    unary: async () => {
      begun.resolve();
      await finish.promise;
      return imageList('done');
    },
    async *stream(_method, _body, { signal }) {
      yield streamItem('a');
      await once(signal, 'abort');
    },
  });
  const unary = images.listImages({});
  const stream = images.streamImages({})[Symbol.asyncIterator]();
  await stream.next();
  await begun.promise;
  const stopped = server[Symbol.asyncDispose]();
  await assert.rejects(stream.next(), { kind: 'unavailable', message: 'the server is stopping' });
  finish.resolve();
  assert.equal((await unary).images[0]?.id, 'done');
  await stopped;
  await assert.rejects(stat(socket), { code: 'ENOENT' });
});

test('a unary call that never ends does not hold the stop for ever', async (t) => {
  const begun = Promise.withResolvers<void>();
  const { images, server } = await start(
    t,
    {
      unary: () => {
        begun.resolve();
        return new Promise(() => undefined);
      },
    },
    50,
  );
  const call = assert.rejects(images.listImages({}), { name: 'RuntimeError' });
  await begun.promise;
  await server[Symbol.asyncDispose]();
  await call;
});

test('the socket is for its owner and group only', async (t) => {
  const { socket } = await start(t, {});
  assert.equal((await stat(socket)).mode & 0o777, 0o660);
});

test('a socket that another server answers is not taken', async (t) => {
  const { socket, images } = await start(t, { unary: () => Promise.resolve(imageList('first')) });
  await assert.rejects(
    serveRoutes({ socket, maxMessageBytes: 1, services: [], routes: unusedRoutes }),
    {
      kind: 'failed-precondition',
      message: `listen on ${socket}: already served by another process`,
    },
  );
  assert.equal((await images.listImages({})).images[0]?.id, 'first');
});

test('a socket that a dead process left is taken over', async (t) => {
  const dir = await temporaryDirectory(t);
  const socket = join(dir, 's.sock');
  const dead = createServer().listen(join(dir, 'other.sock'));
  await once(dead, 'listening');
  // Node removes the file of a server that closes, so the file gets a second name first.
  await link(join(dir, 'other.sock'), socket);
  dead.close();
  await once(dead, 'close');
  await using server = await serveRoutes({
    socket,
    maxMessageBytes: 1 << 20,
    services: [ImageService],
    routes: { ...unusedRoutes, unary: () => Promise.resolve(imageList('new')) },
  });
  using connection = dial(server.socket);
  assert.equal((await connection.client(ImageService).listImages({})).images[0]?.id, 'new');
});

test('a file that is no socket is not removed', async (t) => {
  const file = join(await temporaryDirectory(t), 'precious');
  await writeFile(file, 'x');
  await assert.rejects(
    serveRoutes({ socket: file, maxMessageBytes: 1, services: [], routes: unusedRoutes }),
    { kind: 'failed-precondition', message: /is not a socket/ },
  );
  assert.equal((await stat(file)).size, 1);
});

test('a path that is too long for a socket is named', async () => {
  const socket = `/tmp/${'x'.repeat(120)}`;
  await assert.rejects(
    serveRoutes({ socket, maxMessageBytes: 1, services: [], routes: unusedRoutes }),
    {
      kind: 'invalid-argument',
      message: /may have 107 bytes/,
    },
  );
});

test('a client says where it could not connect', async (t) => {
  const socket = join(await temporaryDirectory(t), 'none.sock');
  using connection = dial(socket);
  await assert.rejects(connection.client(ImageService).listImages({}), {
    kind: 'unavailable',
    message: new RegExp(`^connect to ${socket}: connect ENOENT \\S+\\. Is Gantry running\\?`),
  });
});

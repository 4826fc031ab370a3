import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { RuntimeError } from '@gantry/errors';
import type { RawHandlers } from './handler.ts';
import type { CallContext } from './inbound-call.ts';
import { windowBytes } from './limits.ts';
import { startTestNats } from './testing.ts';

const method = 'runtime.v1.RuntimeService/GetContainerEvents';
const empty = new Uint8Array(0);
const stream = (
  handle: (body: Uint8Array, context: CallContext) => AsyncIterable<Uint8Array>,
): RawHandlers => new Map([[method, { kind: 'stream', handle }]]);

async function collect(items: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const item of items) {
    all.push(item);
  }
  return all;
}

test('items come in order and then the end', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  await sandbox.serve(
    stream(async function* () {
      for (let i = 0; i < 1000; i++) {
        yield Buffer.from(String(i));
      }
    }),
  );

  const items = await collect(gateway.stream('sandbox', method, empty));

  assert.deepEqual(
    items.map((item) => Number(Buffer.from(item).toString())),
    Array.from({ length: 1000 }, (_, i) => i),
  );
});

test('a slow reader holds the generator up', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const itemBytes = 64 << 10;
  let made = 0;
  await sandbox.serve(
    stream(async function* () {
      while (made < 2000) {
        made += 1;
        yield new Uint8Array(itemBytes);
      }
    }),
  );

  let read = 0;
  for await (const item of gateway.stream('sandbox', method, empty)) {
    assert.equal(item.length, itemBytes);
    read += 1;
    if (read === 1 || read === 500) {
      await delay(200);
      // The window, and the item that the generator stands at.
      assert.ok(
        (made - read) * itemBytes <= windowBytes + 2 * itemBytes,
        `${made} made, ${read} read`,
      );
    }
  }

  assert.equal(read, 2000);
});

test('empty items are bounded too', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  let made = 0;
  await sandbox.serve(
    stream(async function* () {
      while (made < 30_000) {
        made += 1;
        yield empty;
      }
    }),
  );

  let read = 0;
  for await (const item of gateway.stream('sandbox', method, empty)) {
    read += 1;
    if (read === 1) {
      assert.equal(item.length, 0);
      await delay(200);
      assert.ok(made < 10_000, `${made} made`);
    }
  }
  assert.equal(read, 30_000);
});

test('a reader that breaks off ends the generator', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const ended = Promise.withResolvers<string>();
  await sandbox.serve(
    stream(async function* (_, { signal }) {
      try {
        for (;;) {
          yield Buffer.from('x');
          await delay(1);
        }
      } finally {
        ended.resolve(signal.aborted ? (signal.reason as Error).name : 'not aborted');
      }
    }),
  );

  for await (const item of gateway.stream('sandbox', method, empty)) {
    assert.equal(item.length, 1);
    break;
  }

  assert.equal(await ended.promise, 'AbortError');
});

test('an aborted signal ends a stream that waits', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const aborted = Promise.withResolvers<void>();
  await sandbox.serve(
    stream(async function* (_, { signal }) {
      yield Buffer.from('first');
      await once(signal, 'abort');
      aborted.resolve();
    }),
  );
  const controller = new AbortController();
  const items = gateway
    .stream('sandbox', method, empty, { signal: controller.signal })
    [Symbol.asyncIterator]();
  await items.next();

  const next = items.next();
  controller.abort();

  await assert.rejects(next, { kind: 'canceled' });
  await aborted.promise;
});

test('an error after some items comes after them', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  await sandbox.serve(
    stream(async function* () {
      yield Buffer.from('one');
      yield Buffer.from('two');
      throw new RuntimeError('failed-precondition', 'no more');
    }),
  );

  const items: string[] = [];
  await assert.rejects(
    async () => {
      for await (const item of gateway.stream('sandbox', method, empty)) {
        items.push(Buffer.from(item).toString());
      }
    },
    { kind: 'failed-precondition', message: 'no more' },
  );
  assert.deepEqual(items, ['one', 'two']);
});

test('a stream is not asked as a unary call, nor the other way round', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const version = 'runtime.v1.RuntimeService/Version';
  await sandbox.serve(
    new Map([
      ...stream(async function* () {
        yield empty;
      }),
      [version, { kind: 'unary' as const, handle: (body) => Promise.resolve(body) }],
    ]),
  );

  await assert.rejects(gateway.request('sandbox', method, empty), { kind: 'unimplemented' });
  await assert.rejects(collect(gateway.stream('sandbox', version, empty)), {
    kind: 'unimplemented',
  });
});

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { RawHandlers } from './handler.ts';
import { startTestNats } from './testing.ts';

const method = 'runtime.v1.ImageService/PullImage';
const listing = 'runtime.v1.RuntimeService/GetContainerEvents';
const large = 40 << 20;
const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function echo(instance = ''): RawHandlers {
  return new Map([
    [
      method,
      {
        kind: 'unary',
        handle: (body) => Promise.resolve(Buffer.concat([body, Buffer.from(instance)])),
      },
    ],
    [
      listing,
      {
        kind: 'stream',
        handle: async function* (body) {
          yield Buffer.from('small');
          yield body;
          yield body.subarray(1);
        },
      },
    ],
  ]);
}

test('40 MB pass each way', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const image = await nats.connect('image');
  await image.serve(echo());
  const body = randomBytes(large);

  const answer = await gateway.request('image', method, body);

  assert.equal(answer.length, large);
  assert.equal(sum(answer), sum(body));
});

test('sizes around the size of a part pass unchanged', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const image = await nats.connect('image');
  await image.serve(echo());
  const part = (1 << 20) - (16 << 10);

  for (const size of [0, 1, part - 1, part, part + 1, 2 * part, 2 * part + 1]) {
    const body = randomBytes(size);
    assert.deepEqual(sum(await gateway.request('image', method, body)), sum(body), `${size}`);
  }
});

test('40 MB items pass in a stream', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const image = await nats.connect('image');
  await image.serve(echo());
  const body = randomBytes(large);

  const sizes: number[] = [];
  for await (const item of gateway.stream('image', listing, body)) {
    sizes.push(item.length);
    if (item.length === large) {
      assert.equal(sum(item), sum(body));
    }
  }

  assert.deepEqual(sizes, [5, large, large - 1]);
});

test('all parts of one request reach the same instance', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  for (const instance of ['a', 'b']) {
    const image = await nats.connect('image', { instance });
    await image.serve(echo(instance));
  }
  const body = randomBytes(5 << 20);

  const answers = await Promise.all(
    Array.from({ length: 12 }, () => gateway.request('image', method, body)),
  );

  const served = new Set<string>();
  for (const answer of answers) {
    assert.equal(sum(answer.subarray(0, -1)), sum(body));
    served.add(Buffer.from(answer.subarray(-1)).toString());
  }
  assert.deepEqual([...served].sort(), ['a', 'b']);
});

test('a body above the limit is refused on either side', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway', { maxBodyBytes: 3 << 20 });
  const image = await nats.connect('image', { maxBodyBytes: 6 << 20 });
  await image.serve(echo());

  await assert.rejects(gateway.request('image', method, randomBytes(7 << 20)), {
    kind: 'resource-exhausted',
  });
  await assert.rejects(gateway.request('image', method, randomBytes(5 << 20)), {
    kind: 'resource-exhausted',
  });
  assert.equal((await gateway.request('image', method, randomBytes(2 << 20))).length, 2 << 20);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RuntimeError } from '@gantry/errors';
import { connectBus } from './bus.ts';
import { startTestNats } from './testing.ts';

const echo = 'runtime.v1.RuntimeService/Version';
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

test('a request comes back with the answer of its handler', async (t) => {
  const nats = await startTestNats(t);
  await using gateway = await connectBus(nats.busOptions('gateway'));
  await using sandbox = await connectBus(nats.busOptions('sandbox'));
  await sandbox.serve(
    new Map([[echo, { kind: 'unary', handle: (body) => Promise.resolve(body) }]]),
  );

  const answer = await gateway.request('sandbox', echo, utf8('hello'));

  assert.deepEqual(Buffer.from(answer).toString(), 'hello');
});

test('an error crosses the bus with its kind and its message', async (t) => {
  const nats = await startTestNats(t);
  await using gateway = await connectBus(nats.busOptions('gateway'));
  await using sandbox = await connectBus(nats.busOptions('sandbox'));
  const cause = new Error('line one\r\nline two: 100 % é ');
  await sandbox.serve(
    new Map([
      [
        echo,
        {
          kind: 'unary',
          handle: () =>
            Promise.reject(new RuntimeError('not-found', 'find container a', { cause })),
        },
      ],
    ]),
  );

  await assert.rejects(gateway.request('sandbox', echo, utf8('')), {
    name: 'RuntimeError',
    kind: 'not-found',
    message: 'find container a: line one\r\nline two: 100 % é ',
  });
});

test('no instance is unavailable, a method without a handler unimplemented', async (t) => {
  const nats = await startTestNats(t);
  await using gateway = await connectBus(nats.busOptions('gateway'));
  await using sandbox = await connectBus(nats.busOptions('sandbox'));

  await assert.rejects(gateway.request('sandbox', echo, utf8('')), { kind: 'unavailable' });
  await sandbox.serve(new Map());
  await assert.rejects(gateway.request('sandbox', echo, utf8('')), { kind: 'unimplemented' });
});

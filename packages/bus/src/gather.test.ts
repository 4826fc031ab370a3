import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from '@nats-io/transport-node';
import { readCredentials } from './credentials.ts';
import { type Answer, firstQuietMs } from './gather.ts';
import { keyOfInbox } from './subjects.ts';
import { startTestNats } from './testing.ts';

const method = 'gantry.admin.v1.Admin/Metrics';
const empty = new Uint8Array(0);
const textOf = (answers: readonly Answer[]): string[] =>
  answers.map(({ instance, body }) => `${instance}=${Buffer.from(body).toString()}`).sort();

test('every instance answers once, slow ones too', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  for (const [instance, ms] of [
    ['a', 0],
    ['b', 300],
  ] as const) {
    const sandbox = await nats.connect('sandbox', { instance });
    await sandbox.serve(new Map([[method, { kind: 'unary', handle: (body) => delay(ms, body) }]]));
  }

  const answers = await gateway.gather('sandbox', method, Buffer.from('x'));

  assert.deepEqual(textOf(answers), ['a=x', 'b=x']);
});

test('the only instance may be too busy to come forward at once', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const { user, password } = await readCredentials(nats.files.credentialsFiles.sandbox);
  const busy = await connect({ servers: nats.url, user, pass: password });
  t.after(() => busy.close());
  const root = 'gantry.test-node.sandbox';
  busy.subscribe(`${root}.every.*`, {
    callback: (_, { reply = '', data }) => {
      setTimeout(() => {
        busy.publish(reply, data, { reply: `${root}.call.busy.${keyOfInbox(reply)}` });
      }, 2 * firstQuietMs);
    },
  });
  await busy.flush();

  const answers = await gateway.gather('sandbox', method, Buffer.from('x'));

  assert.deepEqual(textOf(answers), ['busy=x']);
});

test('an instance that fails or takes too long is left out, and canceled', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const aborted = Promise.withResolvers<void>();
  const serve = async (
    instance: string,
    handle: (body: Uint8Array, context: { signal: AbortSignal }) => Promise<Uint8Array>,
  ): Promise<void> => {
    const bus = await nats.connect('sandbox', { instance });
    await bus.serve(new Map([[method, { kind: 'unary', handle }]]));
  };
  await serve('good', (body) => Promise.resolve(body));
  await serve('bad', () => Promise.reject(new Error('boom')));
  await serve('slow', (body, { signal }) => {
    signal.addEventListener('abort', () => {
      aborted.resolve();
    });
    return delay(60_000, body, { signal });
  });

  // A busy host gives the one that is good more than one try.
  let answers: readonly Answer[] = [];
  for (let timeoutMs = 1000; answers.length === 0; timeoutMs *= 2) {
    answers = await gateway.gather('sandbox', method, Buffer.from('x'), { timeoutMs });
  }

  assert.deepEqual(textOf(answers), ['good=x']);
  await aborted.promise;
});

test('large answers of several instances do not mix', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  for (const [index, instance] of ['a', 'b'].entries()) {
    const sandbox = await nats.connect('sandbox', { instance });
    await sandbox.serve(
      new Map([
        [method, { kind: 'unary', handle: () => Promise.resolve(Buffer.alloc(5 << 20, index)) }],
      ]),
    );
  }

  const answers = await gateway.gather('sandbox', method, empty);

  assert.equal(answers.length, 2);
  for (const { instance, body } of answers) {
    assert.equal(Buffer.alloc(5 << 20, instance === 'a' ? 0 : 1).equals(body), true);
  }
});

test('no instance is an empty answer', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');

  assert.deepEqual(await gateway.gather('sandbox', method, empty), []);
});

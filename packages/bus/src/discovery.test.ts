import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { RuntimeError } from '@gantry/errors';
import { connect, createInbox } from '@nats-io/transport-node';
import { readCredentials } from './credentials.ts';
import type { RawHandlers } from './handler.ts';
import { startTestNats, type TestNats } from './testing.ts';

const version = 'runtime.v1.RuntimeService/Version';
const status = 'runtime.v1.RuntimeService/Status';
const empty = new Uint8Array(0);

interface Entry {
  readonly name: string;
  readonly id: string;
  readonly version: string;
  readonly metadata: { readonly node: string };
  readonly endpoints: readonly Record<string, unknown>[];
}

/** Asks as the `nats` command line does, with the credentials of `cli`, until as many have answered. */
async function ask(nats: TestNats, subject: string, count: number): Promise<Entry[]> {
  const { user, password } = await readCredentials(nats.files.credentialsFiles.cli);
  const connection = await connect({ servers: nats.url, user, pass: password });
  const inbox = createInbox('_INBOX.cli');
  const entries: Entry[] = [];
  const all = Promise.withResolvers<void>();
  connection.subscribe(inbox, {
    callback: (_, msg) => {
      // Empty: the server says that nobody is there.
      if (msg.data.length > 0) {
        entries.push(JSON.parse(Buffer.from(msg.data).toString()) as Entry);
      }
      if (entries.length >= count) {
        all.resolve();
      }
    },
  });
  connection.publish(subject, '', { reply: inbox });
  await all.promise;
  // Time for one more than there should be.
  await delay(50);
  await connection.close();
  return entries.sort((a, b) => (a.id < b.id ? -1 : 1));
}

const handlers: RawHandlers = new Map([
  [version, { kind: 'unary', handle: (body: Uint8Array) => delay(20, body) }],
  [status, { kind: 'unary', handle: () => Promise.reject(new RuntimeError('internal', 'boom')) }],
]);

test('$SRV lists every instance with its name, version and endpoints', async (t) => {
  const nats = await startTestNats(t, { node: 'node.example' });
  for (const instance of ['a', 'b']) {
    const bus = await nats.connect('sandbox', { instance, version: '1.2.3' });
    await bus.serve(handlers);
  }
  const image = await nats.connect('image', { instance: 'c' });
  await image.serve(new Map());

  const pings = await ask(nats, '$SRV.PING', 3);
  const infos = await ask(nats, '$SRV.INFO.gantry-sandbox', 2);
  const one = await ask(nats, '$SRV.PING.gantry-sandbox.b', 1);

  assert.deepEqual(
    pings.map(({ name, id, metadata }) => [name, id, metadata.node]),
    [
      ['gantry-sandbox', 'a', 'node_example'],
      ['gantry-sandbox', 'b', 'node_example'],
      ['gantry-image', 'c', 'node_example'],
    ],
  );
  assert.deepEqual(
    infos.map((info) => [info.id, info.version, info.endpoints.map((e) => e['subject'])]),
    ['a', 'b'].map((id) => [
      id,
      '1.2.3',
      [
        'gantry.node_example.sandbox.runtime_v1_RuntimeService-Version',
        'gantry.node_example.sandbox.runtime_v1_RuntimeService-Status',
      ],
    ]),
  );
  assert.deepEqual(
    one.map(({ id }) => id),
    ['b'],
  );
});

test('$SRV.STATS counts calls, errors and the time that handlers took', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  await sandbox.serve(handlers);
  await gateway.request('sandbox', version, empty);
  await gateway.request('sandbox', version, empty);
  await assert.rejects(gateway.request('sandbox', status, empty));

  const [entry] = await ask(nats, '$SRV.STATS', 1);

  const [ok, failing] = entry?.endpoints ?? [];
  assert.equal(ok?.['num_requests'], 2);
  assert.equal(ok['num_errors'], 0);
  assert.ok(Number(ok['average_processing_time']) > 15e6);
  assert.equal(failing?.['num_requests'], 1);
  assert.equal(failing['num_errors'], 1);
  assert.equal(failing['last_error'], 'boom');
});

test('what is no longer served is no longer listed', async (t) => {
  const nats = await startTestNats(t);
  const sandbox = await nats.connect('sandbox');
  const serving = await sandbox.serve(handlers);
  await serving[Symbol.asyncDispose]();

  assert.deepEqual(await ask(nats, '$SRV.PING', 0), []);
});

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, errors, type NatsConnection } from '@nats-io/transport-node';
import { connectBus } from './bus.ts';
import { readCredentials } from './credentials.ts';
import type { RawHandlers } from './handler.ts';
import type { BusEvent } from './link.ts';
import { natsAccountOf, writeNatsConfig } from './nats-config.ts';
import { permissionsOf } from './permissions.ts';
import { type ServiceName, serviceNames } from './subjects.ts';
import { startNatsServer, startTestNats, type TestNats } from './testing.ts';

const method = 'runtime.v1.RuntimeService/Version';
const empty = new Uint8Array(0);

async function rawConnection(nats: TestNats, service: ServiceName): Promise<NatsConnection> {
  const { user, password } = await readCredentials(nats.files.credentialsFiles[service]);
  return connect({ servers: nats.url, user, pass: password, reconnect: false });
}

/** What the server says against `act`. */
async function refusalOf(connection: NatsConnection, act: () => void): Promise<string> {
  const first = Promise.withResolvers<string>();
  void (async () => {
    for await (const status of connection.status()) {
      if (status.type === 'error') {
        first.resolve(status.error.message);
      }
    }
  })();
  act();
  // The server refuses before it answers the flush.
  await connection.flush();
  setTimeout(() => first.resolve('nothing'), 2000).unref();
  return first.promise;
}

const foreign: readonly [ServiceName, 'publish' | 'subscribe', string][] = [
  ['image', 'publish', 'gantry.test-node.sandbox.runtime_v1_RuntimeService-StopPodSandbox'],
  ['image', 'publish', 'gantry.test-node.image.runtime_v1_ImageService-PullImage'],
  ['image', 'subscribe', 'gantry.test-node.sandbox.*'],
  ['image', 'subscribe', 'gantry.other-node.image.*'],
  ['image', 'subscribe', '_INBOX.sandbox.>'],
  ['image', 'subscribe', '>'],
  ['image', 'publish', 'anything'],
  ['sandbox', 'publish', 'gantry.test-node.stream.runtime_v1_RuntimeService-ExecSync'],
  ['sandbox', 'publish', '_INBOX.image.x'],
  ['stream', 'publish', 'gantry.test-node.image.runtime_v1_ImageService-PullImage'],
  ['gateway', 'subscribe', 'gantry.test-node.sandbox.>'],
  ['gateway', 'publish', 'gantry.other-node.sandbox.runtime_v1_RuntimeService-Version'],
  ['cli', 'publish', 'gantry.test-node.sandbox.runtime_v1_RuntimeService-StopPodSandbox'],
  ['cli', 'subscribe', 'gantry.test-node.sandbox.>'],
];

for (const [service, verb, subject] of foreign) {
  test(`${service} may not ${verb} ${subject}`, async (t) => {
    const nats = await startTestNats(t);
    const connection = await rawConnection(nats, service);
    t.after(() => connection.close());

    const refusal = await refusalOf(connection, () => {
      if (verb === 'publish') {
        connection.publish(subject, empty);
      } else {
        connection.subscribe(subject, { callback: () => undefined });
      }
    });

    assert.match(refusal, /permissions violation/i);
  });
}

test('a service that serves for another is refused, and the refusal is told', async (t) => {
  const nats = await startTestNats(t);
  const told: BusEvent[] = [];
  const impostor = await nats.connect('sandbox', {
    credentialsFile: nats.files.credentialsFiles.image,
    onEvent: (event) => told.push(event),
  });

  await assert.rejects(impostor.serve(new Map()), { kind: 'permission-denied' });

  assert.ok(
    told.some(
      (event) => event.type === 'error' && event.error instanceof errors.PermissionViolationError,
    ),
  );
});

test('a request to a service that one may not call is refused at once', async (t) => {
  const nats = await startTestNats(t);
  const image = await nats.connect('image');

  // Without a deadline: nothing but the refusal ends it.
  await assert.rejects(image.request('sandbox', method, empty), { kind: 'permission-denied' });
});

test('each service may call those of the table', async (t) => {
  const nats = await startTestNats(t);
  const calls: readonly [ServiceName, ServiceName][] = [
    ['gateway', 'image'],
    ['gateway', 'sandbox'],
    ['gateway', 'stream'],
    ['gateway', 'nri'],
    ['sandbox', 'image'],
    ['sandbox', 'nri'],
    ['stream', 'sandbox'],
    ['nri', 'sandbox'],
    ['cli', 'sandbox'],
    ['cli', 'image'],
  ];
  for (const service of ['image', 'sandbox', 'stream', 'nri'] as const) {
    const bus = await nats.connect(service);
    await bus.serve(
      new Map([[method, { kind: 'unary', handle: (body) => Promise.resolve(body) }]]),
    );
  }
  for (const [caller, callee] of calls) {
    const bus = await nats.connect(caller);
    const answer = await bus.request(callee, method, Buffer.from(callee));
    assert.equal(Buffer.from(answer).toString(), callee, `${caller} -> ${callee}`);
  }
  const cli = await nats.connect('cli');
  const gateway = await nats.connect('gateway');
  const health = 'gantry.admin/Health';
  await gateway.serve(new Map([[health, { kind: 'unary', handle: (b) => Promise.resolve(b) }]]));
  assert.equal((await cli.gather('gateway', health, empty)).length, 1);
  await assert.rejects(cli.gather('gateway', method, empty), { kind: 'permission-denied' });
});

test('wrong and unreadable credentials end the attempt to connect', async (t) => {
  const nats = await startTestNats(t);
  const dir = await mkdtemp(join(tmpdir(), 'gantry-credentials-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, 'x.json');
  for (const text of ['{"user":"image","password":"wrong"}', '{"user":7}', 'no JSON']) {
    await writeFile(file, text);
    await assert.rejects(nats.connect('image', { credentialsFile: file }), {
      kind: 'unauthenticated',
    });
  }
  await assert.rejects(nats.connect('image', { credentialsFile: join(dir, 'missing') }), {
    kind: 'unauthenticated',
  });
});

test('credentials are private and stay valid when they are written again', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-nats-config-'));
  t.after(() => rm(dir, { recursive: true }));
  const options = { node: 'a.b', dir, host: '127.0.0.1', port: 4222 };

  const { configFile, credentialsFiles } = await writeNatsConfig(options);
  const before = await readFile(credentialsFiles.image, 'utf8');
  await writeNatsConfig({ ...options, port: 4223 });

  assert.equal(await readFile(credentialsFiles.image, 'utf8'), before);
  assert.match(await readFile(configFile, 'utf8'), /^port: 4223$/m);
  const passwords = new Set<string>();
  for (const service of serviceNames) {
    const file = credentialsFiles[service];
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const { user, password } = await readCredentials(file);
    assert.equal(user, service);
    assert.ok((await readFile(configFile, 'utf8')).includes(password));
    passwords.add(password);
  }
  assert.equal(passwords.size, serviceNames.length);
  assert.equal((await stat(configFile)).mode & 0o777, 0o600);
});

test('two nodes on one server do not see each other', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-nats-shared-'));
  t.after(() => rm(dir, { recursive: true }));
  for (const node of ['one', 'two']) {
    const account = await natsAccountOf(node, join(dir, node));
    assert.equal(await natsAccountOf(node, join(dir, node)), account, 'stays valid');
    await writeFile(join(dir, `${node}.conf`), account);
  }
  const shipped = new URL('../../../deploy/nats/nats-server.conf', import.meta.url);
  const text = (await readFile(shipped, 'utf8')).replace(/^port: .*$/m, 'port: -1');
  await writeFile(join(dir, 'nats-server.conf'), text);
  await writeFile(join(dir, 'accounts.conf'), 'include "one.conf"\ninclude "two.conf"\n');

  const { url } = await startNatsServer(t, join(dir, 'nats-server.conf'));
  const buses: AsyncDisposable[] = [];
  t.after(() => Promise.all(buses.map((bus) => bus[Symbol.asyncDispose]())));
  const connectAs = async (node: string, service: ServiceName, as = node) => {
    const credentialsFile = join(dir, node, `${service}.json`);
    const bus = await connectBus({ node: as, service, servers: url, credentialsFile });
    buses.push(bus);
    return bus;
  };
  const answers = (text: string): RawHandlers =>
    new Map([['x.Y/Z', { kind: 'unary', handle: () => Promise.resolve(Buffer.from(text)) }]]);
  for (const node of ['one', 'two']) {
    const sandbox = await connectAs(node, 'sandbox');
    await sandbox.serve(answers(`from ${node}`));
  }
  const gateway = await connectAs('one', 'gateway');
  const answer = await gateway.request('sandbox', 'x.Y/Z', Buffer.alloc(0));
  assert.equal(Buffer.from(answer).toString(), 'from one');
  // The credentials of one node are of no use for the subjects of another.
  const stranger = await connectAs('one', 'gateway', 'two');
  await assert.rejects(stranger.request('sandbox', 'x.Y/Z', Buffer.alloc(0)));
});

test('broken credentials are told, not replaced', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-nats-config-'));
  t.after(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, 'image.json'), '{"user":"image","pass');

  await assert.rejects(writeNatsConfig({ node: 'a', dir, host: '127.0.0.1', port: 4222 }), {
    kind: 'failed-precondition',
    message: /image\.json/,
  });
});

test('no service may do everything', () => {
  for (const service of serviceNames) {
    const { publish, subscribe } = permissionsOf('n', service);
    for (const subject of [...publish, ...subscribe]) {
      assert.match(subject, /^(gantry\.n\.[a-z]+|_INBOX\.[a-z]+|\$SRV)\./);
    }
  }
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connections, definePlugin, Mux, maskOf } from '@gantry/nri';
import { Event, Plugin as PluginService, Runtime } from '@gantry/proto/nri';
import {
  callMethod,
  type ServiceHandlers,
  serviceHandlers,
  TtrpcClient,
  TtrpcServer,
} from '@gantry/ttrpc';
import { inspectionService } from './rpc/inspection.ts';
import { container, FakeHost, pod, startTestBroker, type TestBroker } from './testing.ts';

type Handlers = ServiceHandlers<typeof PluginService>;

/** A well-behaved plugin that counts, to see whether others are held up. */
const counter = (index: number, seen: string[]) =>
  definePlugin({
    name: 'counter',
    index,
    createContainer: (_, { id }) => {
      seen.push(id);
      return { env: { COUNTED: 'yes' } };
    },
  });

/** A plugin that speaks for itself, so that it can misbehave. */
async function rawPlugin(
  t: TestContext,
  broker: TestBroker,
  handlers: Handlers,
  { name = 'bad', index = '50' } = {},
): Promise<{ client: TtrpcClient; socket: Socket; mux: Mux; registered: Promise<unknown> }> {
  const socket = createConnection(broker.socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const mux = new Mux(socket);
  t.after(() => {
    mux.close();
  });
  new TtrpcServer(
    mux.open(connections.plugin),
    new Map([
      serviceHandlers(PluginService, {
        configure: () => Promise.resolve({ events: maskOf([Event.CREATE_CONTAINER]) }),
        synchronize: () => Promise.resolve({}),
        ...handlers,
      }),
    ]),
  );
  const client = new TtrpcClient(mux.open(connections.runtime));
  const registered = callMethod(client, Runtime.method.registerPlugin, {
    pluginName: name,
    pluginIdx: index,
  });
  registered.catch(() => undefined);
  return { client, socket, mux, registered };
}

/** For plugins that say nothing. */
const hasty = {
  plugin_registration_timeout_ms: 300,
  plugin_request_timeout_ms: 1000,
  plugin_sync_timeout_ms: 2000,
};

const never = (): Promise<never> => new Promise(() => undefined);

/** A container comes to be, adjusted by the counter. */
async function stillWorks(broker: TestBroker, id: string, seen: readonly string[]): Promise<void> {
  const { adjust } = await broker.dispatcher.adjustContainer(pod('p'), container(id));
  assert.equal(adjust?.env[0]?.key, 'COUNTED');
  assert.ok(seen.includes(id));
}

async function withCounter(t: TestContext) {
  const broker = await startTestBroker(t, hasty);
  const seen: string[] = [];
  await broker.run(counter(90, seen));
  return { broker, seen };
}

const garbage: readonly (readonly [string, Buffer])[] = [
  ['noise', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['a frame above the limit', Buffer.from('00000002ffffffff', 'hex')],
  ['half a header', Buffer.from('000000', 'hex')],
  ['half a frame', Buffer.from('0000000200000020000000', 'hex')],
  ['an oversize message', Buffer.from('000000020000000a00ffffff000000010100', 'hex')],
  ['a response to nothing', Buffer.from('000000010000000c00000002000000070200abcd', 'hex')],
  ['a connection that there is not', Buffer.from('0000004d00000003616263', 'hex')],
  ['a request that is none', Buffer.from('000000020000000c00000002000000010100ffff', 'hex')],
  ['nothing at all', Buffer.alloc(0)],
];

for (const [what, bytes] of garbage) {
  test(`a stranger that sends ${what} is turned away in time, and disturbs nobody`, async (t) => {
    const { broker, seen } = await withCounter(t);
    const socket = createConnection(broker.socket);
    socket.on('error', () => undefined);
    socket.resume();
    const closed = once(socket, 'close');
    await once(socket, 'connect');
    socket.write(bytes);
    await stillWorks(broker, 'c1', seen);
    await closed;
    assert.equal(broker.dispatcher.count, 1);
    // An operator is told why.
    assert.notEqual(broker.turnedAway.all[0]?.reason ?? '', '');
  });
}

test('operators see who was turned away and why, and the last of those that come and go', async (t) => {
  const broker = await startTestBroker(t);
  for (const index of ['999', '-1', '999']) {
    const { registered } = await rawPlugin(t, broker, {}, { index });
    await assert.rejects(registered);
  }
  for (let times = 0; times < 3; times++) {
    const { socket, registered } = await rawPlugin(t, broker, {}, { name: 'fickle' });
    await registered;
    await broker.untilCount(1);
    socket.destroy();
    await broker.untilCount(0);
  }
  const { listPlugins } = inspectionService(broker, broker.host);
  const { plugins = [] } = await listPlugins({} as never, {} as never);
  assert.deepEqual(
    plugins.map(({ name = '', state, lastError }) => [name, state, lastError]).slice(1),
    [
      ['', 'refused', 'plugin index "999": must be two digits'],
      ['', 'refused', 'plugin index "-1": must be two digits'],
    ],
  );
  assert.deepEqual([plugins[0]?.name, plugins[0]?.state], ['fickle', 'gone']);
});

/** Does `die`, and says nothing. */
const silent = (die: () => void) => (): Promise<never> => {
  die();
  return never();
};

const steps: readonly (readonly [string, (die: () => void) => Handlers])[] = [
  ['configure', (die) => ({ configure: silent(die) })],
  ['synchronize', (die) => ({ synchronize: silent(die) })],
  ['createContainer', (die) => ({ createContainer: silent(die) })],
];

for (const [step, handlers] of steps) {
  for (const [how, dies] of [
    ['dies', true],
    ['never answers', false],
  ] as const) {
    test(`a plugin that ${how} at ${step} is dropped, and the request goes on`, async (t) => {
      const { broker, seen } = await withCounter(t);
      let socket: Socket | undefined;
      const reached = Promise.withResolvers<void>();
      const plugin = await rawPlugin(
        t,
        broker,
        handlers(() => {
          reached.resolve();
          if (dies) {
            socket?.destroy();
          }
        }),
      );
      socket = plugin.socket;
      if (step === 'createContainer') {
        await broker.untilCount(2);
      } else {
        await reached.promise;
      }
      await stillWorks(broker, 'c1', seen);
      await plugin.client.closed;
      await broker.untilCount(1);
      await stillWorks(broker, 'c2', seen);
    });
  }
}

for (const identity of [
  { index: '5' },
  { index: '100' },
  { index: '-1' },
  { index: 'ab' },
  { index: '9'.repeat(100_000) },
  { name: '' },
  { name: '../etc' },
  { name: 'x'.repeat(1000) },
]) {
  test(`a plugin that calls itself ${JSON.stringify(identity).slice(0, 40)} is told why not`, async (t) => {
    const broker = await startTestBroker(t);
    const { registered, client } = await rawPlugin(t, broker, {}, identity);
    await assert.rejects(registered, { kind: 'invalid-argument', code: 3 });
    await client.closed;
    assert.equal(broker.dispatcher.count, 0);
  });
}

test('a plugin that registers twice is told so and stays', async (t) => {
  const broker = await startTestBroker(t);
  const { client } = await rawPlugin(t, broker, {});
  await broker.untilCount(1);
  await assert.rejects(
    callMethod(client, Runtime.method.registerPlugin, { pluginName: 'x', pluginIdx: '01' }),
    { kind: 'already-exists' },
  );
  assert.equal(broker.dispatcher.count, 1);
});

test('a plugin that wants events that there are not is turned away', async (t) => {
  const broker = await startTestBroker(t);
  const { client } = await rawPlugin(t, broker, {
    configure: () => Promise.resolve({ events: 1 << 20 }),
  });
  await client.closed;
  assert.equal(broker.dispatcher.count, 0);
  assert.match(JSON.stringify(broker.logged), /no such events/);
});

test('updates before the registration are refused', async (t) => {
  const broker = await startTestBroker(t);
  const { client } = await rawPlugin(t, broker, { configure: never });
  await assert.rejects(
    callMethod(client, Runtime.method.updateContainers, {
      update: [{ containerId: 'c' }],
    }),
    { kind: 'failed-precondition' },
  );
  assert.deepEqual(broker.host.asked, []);
});

test('a flood of updates is worked on a few at a time and holds up nobody', async (t) => {
  const host = new FakeHost();
  let now = 0;
  let most = 0;
  let done = 0;
  host.update = async () => {
    most = Math.max(most, ++now);
    await sleep(1);
    now--;
    done++;
    return [];
  };
  const broker = await startTestBroker(t, {}, host);
  const seen: string[] = [];
  await broker.run(counter(90, seen));
  const { client } = await rawPlugin(t, broker, {});
  await broker.untilCount(2);
  const flood = Array.from({ length: 3000 }, () =>
    callMethod(client, Runtime.method.updateContainers, {
      update: [{ containerId: 'x'.repeat(200) }],
    }).catch(() => undefined),
  );
  await sleep(5);
  await stillWorks(broker, 'c1', seen);
  assert.ok(done < 3000);
  assert.ok(most <= 16, `${most} at a time`);
  client.close();
  await Promise.all(flood);
});

test('a message of millions of updates is not even read', async (t) => {
  const { broker, seen } = await withCounter(t);
  const many = Array.from({ length: 60_000 }, () => ({}));
  const { client } = await rawPlugin(t, broker, {
    createContainer: () => Promise.resolve({ update: many }),
  });
  await broker.untilCount(2);
  await assert.rejects(callMethod(client, Runtime.method.updateContainers, { update: many }), {
    kind: 'resource-exhausted',
    message: /more than 50000 fields/,
  });
  assert.deepEqual(broker.host.asked, []);
  await stillWorks(broker, 'c1', seen);
  await client.closed;
  assert.match(broker.dispatcher.plugins[1]?.stats.lastError ?? '', /more than 50000 fields/);
});

test('an answer above the limit drops its plugin alone', async (t) => {
  const { broker, seen } = await withCounter(t);
  const asked = Promise.withResolvers<void>();
  const { socket, client } = await rawPlugin(t, broker, {
    createContainer: () => {
      asked.resolve();
      return never();
    },
  });
  await broker.untilCount(2);
  const works = stillWorks(broker, 'c1', seen);
  await asked.promise;
  // The answer to the third request: configure and synchronize came before.
  socket.write(Buffer.from('000000010000000a' + '00ffffff000000050200', 'hex'));
  await works;
  await client.closed;
  assert.equal(broker.dispatcher.count, 1);
  assert.match(broker.dispatcher.plugins[1]?.stats.lastError ?? '', /16777215 bytes is too large/);
});

test('one that can not be synchronised waits longer each time, and others do not wait for it', async (t) => {
  const { broker, seen } = await withCounter(t);
  // The broker counts from when it drops the first, of which that one hears later.
  const startedAt = performance.now();
  const first = await rawPlugin(t, broker, { synchronize: () => Promise.reject(new Error('no')) });
  await first.client.closed;
  const second = await rawPlugin(t, broker, { synchronize: () => Promise.reject(new Error('no')) });
  await second.registered;
  await stillWorks(broker, 'c1', seen);
  await second.client.closed;
  assert.ok(performance.now() - startedAt > 900);
  assert.equal(broker.dispatcher.count, 1);
});

test('plugins that come under one name after the other leave the series of the last ones alone', async (t) => {
  const broker = await startTestBroker(t);
  const subject = { pod: pod('p'), container: container('c') };
  await broker.dispatcher.adjustContainer(subject.pod, subject.container);
  const stays = await broker.run(
    definePlugin({ name: 'stays', index: 10, startContainer: () => undefined }),
  );
  for (let n = 0; n < 40; n++) {
    const name = `fleeting-${n}`;
    const plugin = await broker.run(
      definePlugin({ name, index: 20, startContainer: () => undefined }),
    );
    await broker.dispatcher.notify(Event.START_CONTAINER, subject);
    await plugin[Symbol.asyncDispose]();
    await broker.untilCount(1);
  }
  const text = await broker.metrics.metrics();
  const named = new Set(text.matchAll(/plugin="([^"]+)"/g).map(([, name]) => name));
  assert.deepEqual(named.size, 1 + 32, [...named].join(' '));
  assert.ok(named.has('10-stays') && named.has('20-fleeting-39') && !named.has('20-fleeting-0'));
  assert.equal(broker.dispatcher.plugins.length, 1 + 32);
  await stays[Symbol.asyncDispose]();
});

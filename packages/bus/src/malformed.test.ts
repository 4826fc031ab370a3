import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectSocket, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { readCredentials } from './credentials.ts';
import { type BusEvent, type CallContext, connectBus } from './index.ts';
import { startTestNats, type TestNats } from './testing.ts';

const method = 'runtime.v1.RuntimeService/Version';
const waits = 'runtime.v1.RuntimeService/StopPodSandbox';
const root = 'gantry.test-node.sandbox';
const subject = `${root}.runtime_v1_RuntimeService-Version`;

/** A client that sends what no library would. */
class RawClient {
  readonly #socket: Socket;
  #received = '';

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received += chunk.toString('latin1');
    });
  }

  static async connect(nats: TestNats): Promise<RawClient> {
    const { user, password: pass } = await readCredentials(nats.files.credentialsFiles.gateway);
    const { hostname, port } = new URL(nats.url);
    const client = new RawClient(connectSocket(Number(port), hostname));
    const hello = { user, pass, verbose: false, headers: true, no_responders: true };
    client.#socket.write(`CONNECT ${JSON.stringify(hello)}\r\nSUB _INBOX.gateway.raw.> 1\r\n`);
    await client.flush();
    return client;
  }

  /** `head` is what stands between `NATS/1.0` and the empty line. */
  publish(to: string, reply: string, head: string | undefined, body: string | Buffer = ''): void {
    const payload = Buffer.from(body);
    if (head === undefined) {
      this.#socket.write(`PUB ${to} ${reply} ${payload.length}\r\n`);
      this.#socket.write(Buffer.concat([payload, Buffer.from('\r\n')]));
      return;
    }
    const headers = Buffer.from(`NATS/1.0${head}\r\n\r\n`, 'latin1');
    const total = headers.length + payload.length;
    this.#socket.write(`HPUB ${to} ${reply} ${headers.length} ${total}\r\n`);
    this.#socket.write(Buffer.concat([headers, payload, Buffer.from('\r\n')]));
  }

  async flush(): Promise<void> {
    const before = this.#received.split('PONG\r\n').length;
    this.#socket.write('PING\r\n');
    while (this.#received.split('PONG\r\n').length === before) {
      await once(this.#socket, 'data');
    }
  }

  async received(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#received)) {
      await once(this.#socket, 'data');
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

const garbage: readonly (string | undefined)[] = [
  undefined,
  '',
  '\r\nGantry-Type: nonsense',
  '\r\nGantry-Timeout: -5',
  '\r\nGantry-Timeout: 99999999999999999999',
  '\r\nGantry-Part: 0/0/0',
  '\r\nGantry-Part: 2/1/5',
  '\r\nGantry-Part: 1/3/999999999999',
  '\r\nGantry-Part: 1/3/30',
  '\r\nGantry-Part: x',
  '\r\nbad name: x',
  '\r\n\x7f\x00: \xff\xfe',
  '\r\nno colon at all',
  '\r\n: empty',
  ' 503 No Responders',
  ' 999999 ??',
  '\r\nGantry-Type: ack\r\nGantry-Bytes: 99999999',
  '\r\nGantry-Type: ack\r\nGantry-Bytes: NaN',
  '\r\nGantry-Type: part\r\nGantry-Part: 7/9/1000',
  '\r\nGantry-Type: cancel',
  '\r\ntraceparent: 00-zz-yy-01',
];

test('a caller is told which instance has its call when that takes a moment', async (t) => {
  const nats = await startTestNats(t);
  const sandbox = await nats.connect('sandbox', { instance: 'one' });
  const release = Promise.withResolvers<void>();
  const quick = { kind: 'unary' as const, handle: (body: Uint8Array) => Promise.resolve(body) };
  const slow = {
    kind: 'unary' as const,
    handle: async (body: Uint8Array) => {
      await release.promise;
      return body;
    },
  };
  await sandbox.serve(
    new Map([
      [method, quick],
      [waits, slow],
    ]),
  );
  const raw = await RawClient.connect(nats);
  t.after(() => {
    raw.close();
  });

  raw.publish(
    `${root}.runtime_v1_RuntimeService-StopPodSandbox`,
    '_INBOX.gateway.raw.slow',
    undefined,
  );
  await raw.received(
    /raw\.slow 1 gantry\.test-node\.sandbox\.call\.one\.gateway\.raw\.slow [\s\S]*Gantry-Type: accept/,
  );
  release.resolve();
  // An answer says of itself that it is the whole of it: no headers, and no address.
  await raw.received(/MSG _INBOX\.gateway\.raw\.slow 1 0\r\n/);
  raw.publish(subject, '_INBOX.gateway.raw.quick', undefined);
  await raw.received(/raw\.quick 1 0\r\n/);
});

test('garbage on the subjects of a service neither stops nor fills it', async (t) => {
  const nats = await startTestNats(t);
  const events: BusEvent[] = [];
  const sandbox = await nats.connect('sandbox', {
    instance: 'one',
    onEvent: (event) => events.push(event),
  });
  let running = 0;
  const serving = await sandbox.serve(
    new Map([
      [method, { kind: 'unary', handle: (body) => Promise.resolve(body) }],
      [
        waits,
        {
          kind: 'unary',
          handle: async (body, { signal }) => {
            running += 1;
            await once(signal, 'abort').finally(() => {
              running -= 1;
            });
            return body;
          },
        },
      ],
    ]),
  );
  const gateway = await nats.connect('gateway');
  const controller = new AbortController();
  const bystander = gateway
    .request('sandbox', waits, new Uint8Array(0), { signal: controller.signal })
    .catch((error: Error) => error.message);
  const raw = await RawClient.connect(nats);
  t.after(() => {
    raw.close();
  });

  let n = 0;
  const targets = [
    subject,
    `${root}.unknown`,
    `${root}.every.runtime_v1_RuntimeService-Version`,
    `${root}.call.one.gateway.raw.1`,
    `${root}.call.all.x`,
    `${root}.call.one.x`,
    `${root}.call.nobody.x.y`,
  ];
  for (const target of targets) {
    for (const head of garbage) {
      n += 1;
      raw.publish(target, `_INBOX.gateway.raw.${n}`, head, 'body');
      raw.publish(target, 'some.other.reply', head, 'body');
      raw.publish(target, `_INBOX.gateway.raw.${'x'.repeat(400)}`, head, 'body');
    }
  }
  raw.publish(subject, '_INBOX.gateway.raw.bad', '\r\nbad name: x', 'body');
  await raw.received(/raw\.bad [^\r]*\r\nNATS\/1.0\r\nGantry-Type: error\r\nGantry-Code: 3\r\n/);
  await raw.flush();
  const answer = await gateway.request('sandbox', method, Buffer.from('still here'));

  assert.equal(Buffer.from(answer).toString(), 'still here');
  assert.equal(running, 1);
  assert.equal(sandbox.connected, true);
  // The collecting calls of a client that never answers a beat go with it, and drain waits for none.
  raw.close();
  controller.abort();
  await bystander;
  await serving[Symbol.asyncDispose]();
});

test('parts that lie are refused with an error, and the call is forgotten', async (t) => {
  const nats = await startTestNats(t);
  const sandbox = await nats.connect('sandbox', { instance: 'one' });
  await sandbox.serve(new Map([[method, { kind: 'unary', handle: (b) => Promise.resolve(b) }]]));
  const raw = await RawClient.connect(nats);
  t.after(() => {
    raw.close();
  });
  const chunk = Buffer.alloc(2000);
  const cases: [string, string][] = [
    // The same part twice, one left out, more bytes than told, crumbs.
    ['1/3/6000', '1/3/6000'],
    ['1/3/6000', '3/3/6000'],
    ['1/2/2001', '2/2/2001'],
    ['1/9/5000', '2/9/5000'],
  ];
  for (const [index, [first, second]] of cases.entries()) {
    const key = `gateway.raw.${index}`;
    const last = index === 3 ? Buffer.alloc(1) : chunk;
    raw.publish(subject, `_INBOX.${key}`, `\r\nGantry-Part: ${first}`, chunk);
    raw.publish(
      `${root}.call.one.${key}`,
      '',
      `\r\nGantry-Type: part\r\nGantry-Part: ${second}`,
      last,
    );
    await raw.received(
      new RegExp(
        `HMSG _INBOX\\.gateway\\.raw\\.${index} [^\\r]*\\r\\nNATS/1.0\\r\\nGantry-Type: error`,
      ),
    );
  }
  raw.publish(subject, '_INBOX.gateway.raw.huge', '\r\nGantry-Part: 1/9/999999999', chunk);
  await raw.received(/raw\.huge [^\r]*\r\nNATS\/1.0\r\nGantry-Type: error\r\nGantry-Code: 8\r\n/);
});

test('a request whose parts stop coming is forgotten', async (t) => {
  const nats = await startTestNats(t);
  const sandbox = await nats.connect('sandbox');
  const serving = await sandbox.serve(
    new Map([[method, { kind: 'unary', handle: (b) => Promise.resolve(b) }]]),
  );
  const raw = await RawClient.connect(nats);
  t.after(() => {
    raw.close();
  });
  raw.publish(subject, '_INBOX.gateway.raw.1', '\r\nGantry-Part: 1/3/6000', Buffer.alloc(2000));
  await raw.received(/Gantry-Type: accept/);
  let drained = false;

  // It answers no beat: nobody there who would send the rest.
  const draining = serving[Symbol.asyncDispose]().then(() => {
    drained = true;
  });
  await delay(300);
  assert.equal(drained, false);
  await draining;
});

test('garbage in an inbox fails its call, or nothing', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const handle = async (body: Uint8Array, { signal }: CallContext): Promise<Uint8Array> => {
    // The first call is answered by garbage alone.
    if (body.length === 0 && !signal.aborted) {
      await once(signal, 'abort');
    }
    return body;
  };
  await sandbox.serve(new Map([[method, { kind: 'unary', handle }]]));
  // The inbox of a call is seen by whoever has the service's own credentials.
  const { user, password } = await readCredentials(nats.files.credentialsFiles.sandbox);
  const { connect, headers } = await import('@nats-io/transport-node');
  const spy = await connect({ servers: nats.url, user, pass: password });
  t.after(() => spy.close());
  const heads = ['nonsense', 'item', 'end', 'accept', 'beat', 'ack', 'part', 'keep', 'error'];
  spy.subscribe(`${root}.*`, {
    callback: (_, { reply = '' }) => {
      const unknown = reply.replace(/\d+$/, '4711');
      for (const type of heads) {
        const head = headers();
        head.set('Gantry-Type', type);
        spy.publish(unknown, 'x', { headers: head, reply: 'gantry.x.y' });
        spy.publish(`${reply}.more`, 'x', { headers: head });
      }
      const head = headers();
      head.set('Gantry-Type', 'nonsense');
      spy.publish(reply, 'x', { headers: head });
    },
  });
  await spy.flush();

  await assert.rejects(gateway.request('sandbox', method, new Uint8Array(0)), {
    kind: 'internal',
  });
  await spy.close();
  const answer = await gateway.request('sandbox', method, Buffer.from('well'));
  assert.equal(Buffer.from(answer).toString(), 'well');
});

test('a sender that ignores the window is cut off', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const { user, password } = await readCredentials(nats.files.credentialsFiles.sandbox);
  const { connect, headers } = await import('@nats-io/transport-node');
  const flood = await connect({ servers: nats.url, user, pass: password });
  t.after(() => flood.close());
  flood.subscribe(`${root}.*`, {
    callback: (_, { reply = '' }) => {
      const head = headers();
      head.set('Gantry-Type', 'item');
      for (let i = 0; i < 40; i++) {
        flood.publish(reply, new Uint8Array(512 << 10), { headers: head });
      }
    },
  });
  await flood.flush();

  const cutOff = Promise.withResolvers<void>();
  flood.subscribe(`${root}.call.all.>`, { callback: () => cutOff.resolve() });
  await flood.flush();
  const items = gateway.stream('sandbox', method, new Uint8Array(0))[Symbol.asyncIterator]();
  await items.next();
  // Nothing more is read until the bus has told the sender to stop.
  await cutOff.promise;
  let read = 1;
  await assert.rejects(
    async () => {
      while (!(await items.next()).done) {
        read += 1;
      }
    },
    { kind: 'internal' },
  );
  assert.ok(read <= 8, `${read} items were kept`);
});

test('a node name that can not be a subject is refused', async () => {
  for (const node of ['a b', '*', '', 'a>', 'ü']) {
    await assert.rejects(connectBus({ node, service: 'cli', servers: 'nats://127.0.0.1:1' }), {
      kind: 'invalid-argument',
    });
  }
});

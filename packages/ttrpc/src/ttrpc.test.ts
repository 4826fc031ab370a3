import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Duplex, duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import { RequestSchema, ResponseSchema } from '@gantry/proto/ttrpc';
import {
  encodeFrame,
  FrameDecoder,
  frameType,
  type Handler,
  type ServerOptions,
  StatusError,
  TtrpcClient,
  TtrpcServer,
} from './index.ts';

const echo: Handler = (payload) => Promise.resolve(payload);

function connect(
  t: TestContext,
  methods: Record<string, Handler>,
  options: ServerOptions = {},
): { client: TtrpcClient; server: TtrpcServer } {
  const [near, far] = duplexPair();
  const server = new TtrpcServer(
    far,
    new Map([['test.Service', new Map(Object.entries(methods))]]),
    options,
  );
  const client = new TtrpcClient(near);
  t.after(() => {
    client.close();
    server.close();
  });
  return { client, server };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise(setImmediate);
  }
}

/** The other end of a client or server, as frames. */
function rawPeer(stream: Duplex) {
  const answers: { streamId: number; code: number; message: string; payload: string }[] = [];
  const requests: { streamId: number; service: string; method: string; timeoutNano: bigint }[] = [];
  let wake = Promise.withResolvers<void>();
  const decoder = new FrameDecoder({
    frame({ streamId, type, data }) {
      if (type === frameType.request) {
        requests.push({ streamId, ...fromBinary(RequestSchema, data) });
      } else {
        const { status, payload } = fromBinary(ResponseSchema, data);
        answers.push({
          streamId,
          code: status?.code ?? 0,
          message: status?.message ?? '',
          payload: Buffer.from(payload).toString(),
        });
      }
      wake.resolve();
      wake = Promise.withResolvers();
    },
    oversize: () => undefined,
  });
  stream.on('data', (chunk: Buffer) => {
    decoder.push(chunk);
  });
  return {
    answers,
    requests,
    async until(condition: () => boolean) {
      while (!condition()) {
        await wake.promise;
      }
    },
    request(streamId: number, method: string, payload = '', service = 'test.Service', flags = 0) {
      const data = toBinary(
        RequestSchema,
        create(RequestSchema, { service, method, payload: Buffer.from(payload) }),
      );
      stream.write(encodeFrame({ streamId, type: frameType.request, flags, data }));
    },
  };
}

test('a call carries its payload, metadata and time, and brings the answer', async (t) => {
  let seen: unknown;
  const { client } = connect(t, {
    Get: (payload, { metadata, signal }) => {
      seen = { metadata, aborted: signal.aborted };
      return Promise.resolve(Buffer.from(`got ${Buffer.from(payload).toString()}`));
    },
  });
  const answer = await client.call('test.Service', 'Get', Buffer.from('a'), {
    timeoutMs: 60_000,
    metadata: [
      ['k', 'v'],
      ['k', 'w'],
    ],
  });
  assert.equal(Buffer.from(answer).toString(), 'got a');
  const metadata = [
    ['k', 'v'],
    ['k', 'w'],
  ];
  assert.deepEqual(seen, { metadata, aborted: false });
});

test('answers find their calls in whatever order they come', async (t) => {
  const gates = new Map<string, () => void>();
  const { client } = connect(t, {
    Wait: async (payload) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      gates.set(Buffer.from(payload).toString(), resolve);
      if (gates.size === 3) {
        for (const name of ['c', 'a', 'b']) {
          gates.get(name)?.();
        }
      }
      await promise;
      return payload;
    },
  });
  const calls = ['a', 'b', 'c'].map((name) =>
    client.call('test.Service', 'Wait', Buffer.from(name)),
  );
  const answers = (await Promise.all(calls)).map((answer) => Buffer.from(answer).toString());
  assert.deepEqual(answers, ['a', 'b', 'c']);
});

test('what a handler throws comes as a status with its kind and words', async (t) => {
  const { client } = connect(t, {
    Missing: () => Promise.reject(new RuntimeError('not-found', 'no such thing')),
    Plain: () => Promise.reject(new Error('boom')),
    Odd: () => Promise.reject(new StatusError(10, 'aborted')),
  });
  const call = (method: string) => client.call('test.Service', method, new Uint8Array());
  await assert.rejects(call('Missing'), { kind: 'not-found', code: 5, message: 'no such thing' });
  await assert.rejects(call('Plain'), { kind: 'unknown', code: 2, message: 'boom' });
  await assert.rejects(call('Odd'), { code: 10, message: 'aborted' });
  await assert.rejects(call('Nothing'), { kind: 'unimplemented', message: 'method Nothing' });
  await assert.rejects(client.call('test.Other', 'Get', new Uint8Array()), {
    kind: 'unimplemented',
    message: 'service test.Other',
  });
});

test('a call whose time is over ends, and its late answer disturbs nothing', async (t) => {
  const [near, far] = duplexPair();
  const client = new TtrpcClient(near);
  t.after(() => {
    client.close();
  });
  const peer = rawPeer(far);
  const late = client.call('s', 'Slow', new Uint8Array(), { timeoutMs: 1 });
  await assert.rejects(late, { kind: 'deadline-exceeded', message: /^no answer within 1/ });
  await peer.until(() => peer.requests.length === 1);
  assert.equal(peer.requests[0]?.timeoutNano, 1_000_000n);
  const answer = (streamId: number, text: string) => {
    const data = toBinary(ResponseSchema, create(ResponseSchema, { payload: Buffer.from(text) }));
    far.write(encodeFrame({ streamId, type: frameType.response, data }));
  };
  const next = client.call('s', 'Next', new Uint8Array());
  await peer.until(() => peer.requests.length === 2);
  answer(1, 'late');
  answer(99, 'of nobody');
  answer(3, 'mine');
  assert.equal(Buffer.from(await next).toString(), 'mine');
});

test("the handler's signal aborts when its caller's time is over or its connection ends", async (t) => {
  let started = 0;
  const aborted: unknown[] = [];
  const wait: Handler = async (payload, { signal }) => {
    started++;
    if (!signal.aborted) {
      await once(signal, 'abort');
    }
    aborted.push((signal.reason as Error).name);
    return payload;
  };
  const { client, server } = connect(t, { Wait: wait });
  // What the handler answers then may come as the caller's own time strikes, or after it.
  await Promise.allSettled([
    client.call('test.Service', 'Wait', new Uint8Array(), { timeoutMs: 5 }),
  ]);
  await until(() => aborted.length === 1);
  const hangs = client.call('test.Service', 'Wait', new Uint8Array());
  await until(() => started === 2);
  client.close();
  await assert.rejects(hangs, { kind: 'unavailable' });
  await server.closed;
  await until(() => aborted.length === 2);
  assert.deepEqual(aborted, ['TimeoutError', 'RuntimeError']);
});

test('a canceled call ends with the reason of its signal', async (t) => {
  const { client } = connect(t, { Never: () => new Promise(() => undefined) });
  const left = new AbortController();
  const call = client.call('test.Service', 'Never', new Uint8Array(), { signal: left.signal });
  left.abort();
  await assert.rejects(call, { name: 'AbortError' });
});

test('ids of requests must be odd and rise', async (t) => {
  const [near, far] = duplexPair();
  const services = new Map([['test.Service', new Map([['Echo', echo]])]]);
  const server = new TtrpcServer(far, services);
  t.after(() => {
    server.close();
  });
  const peer = rawPeer(near);
  peer.request(3, 'Echo', 'three');
  peer.request(2, 'Echo');
  peer.request(3, 'Echo');
  peer.request(1, 'Echo');
  peer.request(5, 'Echo', 'five');
  peer.request(7, 'Echo', '', 'test.Service', 2);
  near.write(encodeFrame({ streamId: 9, type: frameType.request, data: Buffer.from([0xff]) }));
  near.write(encodeFrame({ streamId: 11, type: frameType.data, data: Buffer.alloc(0) }));
  near.write(encodeFrame({ streamId: 12, type: 77, data: Buffer.alloc(3) }));
  await peer.until(() => peer.answers.length === 8);
  assert.deepEqual(
    new Set(peer.answers.map(({ streamId, code, payload }) => `${streamId} ${code} ${payload}`)),
    new Set(['3 0 three', '2 3 ', '3 3 ', '1 3 ', '5 0 five', '7 12 ', '9 3 ', '11 3 ']),
  );
});

test('too large a request is refused here and there, and the connection goes on', async (t) => {
  const [near, far] = duplexPair();
  const services = new Map([['test.Service', new Map([['Echo', echo]])]]);
  const server = new TtrpcServer(far, services, { maxMessageBytes: 100 });
  const small = new TtrpcClient(near, { maxMessageBytes: 200 });
  t.after(() => {
    small.close();
    server.close();
  });
  const call = (bytes: number) => small.call('test.Service', 'Echo', new Uint8Array(bytes));
  await assert.rejects(call(300), { kind: 'resource-exhausted', message: /length 3\d\d exceeds/ });
  await assert.rejects(call(150), { kind: 'resource-exhausted', code: 8 });
  assert.equal((await call(10)).length, 10);
});

test('the caller may write a request itself, and is not asked to where there is none', async (t) => {
  const [near, far] = duplexPair();
  const client = new TtrpcClient(near, { maxMessageBytes: 100 });
  t.after(() => {
    client.close();
  });
  const peer = rawPeer(far);
  const sent: string[] = [];
  const call = (name: string, bytes = 0) =>
    client.call('s', 'M', new Uint8Array(bytes), {
      write: (frame, done) => {
        sent.push(name);
        if (name === 'fails') {
          done(new Error('no'));
        } else {
          near.write(frame, done);
        }
      },
    });
  const first = call('first');
  assert.deepEqual(sent, ['first']);
  await assert.rejects(call('large', 300), { kind: 'resource-exhausted' });
  await assert.rejects(call('fails'), { kind: 'unavailable' });
  await peer.until(() => peer.requests.length === 1);
  client.close();
  await assert.rejects(first, { kind: 'unavailable' });
  await assert.rejects(call('late'), { kind: 'unavailable' });
  assert.deepEqual(sent, ['first', 'fails']);
});

test('an answer that is too large, or none, fails its call alone', async (t) => {
  const [near, far] = duplexPair();
  const client = new TtrpcClient(near, { maxMessageBytes: 100 });
  t.after(() => {
    client.close();
  });
  const peer = rawPeer(far);
  const calls = [0, 1, 2].map(() => client.call('s', 'M', new Uint8Array()));
  const results = Promise.allSettled(calls);
  await peer.until(() => peer.requests.length === 3);
  far.write(encodeFrame({ streamId: 1, type: frameType.response, data: new Uint8Array(101) }));
  far.write(encodeFrame({ streamId: 3, type: frameType.response, data: Buffer.from([0xff]) }));
  far.write(encodeFrame({ streamId: 5, type: frameType.response, data: Buffer.alloc(0) }));
  const [large, none, fine] = await results;
  assert.match(String((large as PromiseRejectedResult).reason), /101 bytes is too large/);
  assert.match(String((none as PromiseRejectedResult).reason), /an answer that is none/);
  assert.equal((none as PromiseRejectedResult).reason instanceof StatusError, false);
  assert.equal(fine?.status, 'fulfilled');
});

test('a peer that leaves in the middle of a frame ends all calls', async () => {
  const [near, far] = duplexPair();
  const client = new TtrpcClient(near);
  const call = client.call('s', 'M', new Uint8Array());
  far.write(Buffer.from('0000001000', 'hex'));
  far.end();
  await assert.rejects(call, { kind: 'unavailable', message: /middle of a frame/ });
  assert.equal((await client.closed).kind, 'unavailable');
  await assert.rejects(client.call('s', 'M', new Uint8Array()), { kind: 'unavailable' });
});

test('a server works on so many requests and lets the others wait', async (t) => {
  let now = 0;
  let most = 0;
  const { client } = connect(
    t,
    {
      Work: async (payload) => {
        most = Math.max(most, ++now);
        await new Promise(setImmediate);
        now--;
        return payload;
      },
    },
    { maxInFlight: 4 },
  );
  const calls = Array.from({ length: 200 }, () =>
    client.call('test.Service', 'Work', new Uint8Array(50_000)),
  );
  assert.equal((await Promise.all(calls)).length, 200);
  assert.ok(most >= 4 && most < 40, `${most} at a time`);
});

test('the bytes of real peers are read: register, configure, empty and unimplemented', async (t) => {
  const [near, far] = duplexPair();
  const methods = new Map([['RegisterPlugin', echo]]);
  const server = new TtrpcServer(far, new Map([['nri.pkg.api.v1alpha1.Runtime', methods]]));
  t.after(() => {
    server.close();
  });
  const peer = rawPeer(near);
  // What a Go plugin of NRI 0.6.1 sent.
  near.write(
    Buffer.from(
      '000000400000000101000a1c6e72692e706b672e6170692e7631616c706861312e52756e74696d65120e' +
        '5265676973746572506c7567696e1a0a0a0464656d6f1202313020a7fcc4b907',
      'hex',
    ),
  );
  await peer.until(() => peer.answers.length === 1);
  assert.deepEqual(peer.answers, [
    { streamId: 1, code: 0, message: '', payload: '\n\x04demo\x12\x0210' },
  ]);

  const [clientSide, pluginSide] = duplexPair();
  const client = new TtrpcClient(clientSide);
  t.after(() => {
    client.close();
  });
  const plugin = rawPeer(pluginSide);
  const calls = [1, 2, 3].map(() => client.call('p', 'M', new Uint8Array()));
  const results = Promise.allSettled(calls);
  await plugin.until(() => plugin.requests.length === 3);
  for (const hex of [
    '0000000400000001020012021009',
    '00000000000000030200',
    '0000001a00000005' + '02000a18080c12146d6574686f642052756e506f6453616e64626f78',
  ]) {
    pluginSide.write(Buffer.from(hex, 'hex'));
  }
  const [configured, empty, refused] = await results;
  assert.deepEqual(configured, { status: 'fulfilled', value: Uint8Array.from([0x10, 9]) });
  assert.deepEqual(empty, { status: 'fulfilled', value: new Uint8Array() });
  assert.match(String((refused as PromiseRejectedResult).reason), /method RunPodSandbox/);
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { kindOf, RuntimeError } from '@gantry/errors';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { readCredentials } from './credentials.ts';
import type { RawHandlers } from './handler.ts';
import type { CallContext } from './inbound-call.ts';
import { startTestNats } from './testing.ts';

const method = 'runtime.v1.RuntimeService/Version';
const empty = new Uint8Array(0);
const unary = (
  handle: (body: Uint8Array, context: CallContext) => Promise<Uint8Array>,
): RawHandlers => new Map([[method, { kind: 'unary', handle }]]);

/** A handler that works until its signal aborts, and tells with what. */
function untilAborted(): { handlers: RawHandlers; begun: Promise<void>; reason: Promise<Error> } {
  const begun = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<Error>();
  return {
    handlers: unary(async (_, { signal }) => {
      begun.resolve();
      await once(signal, 'abort');
      aborted.resolve(signal.reason as Error);
      throw signal.reason;
    }),
    begun: begun.promise,
    reason: aborted.promise,
  };
}

test('a request comes back with the answer of its handler', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  await sandbox.serve(
    unary((body, context) => Promise.resolve(Buffer.concat([body, Buffer.from(context.method)]))),
  );

  const answer = await gateway.request('sandbox', method, Buffer.from('asked: '));

  assert.equal(Buffer.from(answer).toString(), `asked: ${method}`);
});

test('a small unary call is one message each way', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  await sandbox.serve(unary((body) => Promise.resolve(body)));
  const counts = { sandbox: 0, gateway: 0 };
  const spies: NatsConnection[] = [];
  for (const service of ['sandbox', 'gateway'] as const) {
    const { user, password } = await readCredentials(nats.files.credentialsFiles[service]);
    const spy = await connect({ servers: nats.url, user, pass: password });
    t.after(() => spy.close());
    const subject = service === 'sandbox' ? 'gantry.test-node.sandbox.>' : '_INBOX.gateway.>';
    spy.subscribe(subject, {
      callback: () => {
        counts[service] += 1;
      },
    });
    spies.push(spy);
    await spy.flush();
  }

  for (let i = 0; i < 5; i++) {
    await gateway.request('sandbox', method, Buffer.from('x'));
  }
  await delay(50);
  await Promise.all(spies.map((spy) => spy.flush()));

  assert.deepEqual(counts, { sandbox: 5, gateway: 5 });
});

test('an error crosses the bus with its kind and its message', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const cause = new Error(' line one\r\nline two: 100 % é ');
  await sandbox.serve(
    unary(() => Promise.reject(new RuntimeError('not-found', 'find container a', { cause }))),
  );

  await assert.rejects(gateway.request('sandbox', method, empty), {
    name: 'RuntimeError',
    kind: 'not-found',
    message: 'find container a:  line one\r\nline two: 100 % é ',
  });
});

test('no instance is unavailable, a method without a handler unimplemented', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');

  await assert.rejects(gateway.request('sandbox', method, empty), { kind: 'unavailable' });
  await sandbox.serve(new Map());
  await assert.rejects(gateway.request('sandbox', method, empty), { kind: 'unimplemented' });
});

test('a canceled request ends at once, and its handler hears of it', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const { handlers, begun, reason } = untilAborted();
  await sandbox.serve(handlers);
  const { user, password } = await readCredentials(nats.files.credentialsFiles.sandbox);
  const spy = await connect({ servers: nats.url, user, pass: password });
  t.after(() => spy.close());
  const told = Promise.withResolvers<void>();
  // Before any beat: the answer to a beat for a call that is over goes to its sender alone.
  spy.subscribe('gantry.test-node.sandbox.call.all.>', { callback: () => told.resolve() });
  await spy.flush();
  const controller = new AbortController();

  const answer = gateway.request('sandbox', method, empty, { signal: controller.signal });
  await begun;
  controller.abort();

  await assert.rejects(answer, { kind: 'canceled' });
  assert.equal((await reason).name, 'AbortError');
  await told.promise;
});

test('the cancel reaches the one instance that serves, not its neighbours', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const works = await Promise.all(
    [1, 2].map(async () => {
      const work = untilAborted();
      await (await nats.connect('sandbox')).serve(work.handlers);
      return work;
    }),
  );
  const first = new AbortController();
  const ask = (signal?: AbortSignal): Promise<unknown> =>
    gateway.request('sandbox', method, empty, { signal }).catch((error: unknown) => error);
  const answers = [ask(first.signal)];
  const began = (): Promise<number> =>
    Promise.race(works.map((work, index) => work.begun.then(() => index)));
  const index = await began();
  const other = works[1 - index];
  assert.ok(other);
  const rest = new AbortController();
  const asker = setInterval(() => answers.push(ask(rest.signal)), 5);
  t.after(() => {
    clearInterval(asker);
  });
  await other.begun;
  clearInterval(asker);
  let otherAborted = false;
  void other.reason.then(() => (otherAborted = true));

  first.abort();
  await works[index]?.reason;
  await delay(50);

  assert.equal(otherAborted, false);
  rest.abort();
  await Promise.all(answers);
});

test('at the deadline the caller is told and the handler aborted', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const { handlers, reason } = untilAborted();
  await sandbox.serve(handlers);

  await assert.rejects(
    gateway.request('sandbox', method, empty, { deadlineMs: Date.now() + 200 }),
    { kind: 'deadline-exceeded' },
  );
  assert.match((await reason).name, /^(TimeoutError|AbortError)$/);
});

test('a bus may set a time limit for calls without a deadline', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway', { requestTimeoutMs: 100 });
  const sandbox = await nats.connect('sandbox');
  const { handlers, reason } = untilAborted();
  await sandbox.serve(handlers);

  await assert.rejects(gateway.request('sandbox', method, empty), { kind: 'deadline-exceeded' });
  await reason;
});

test('a handler knows its deadline', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  let seen: number | undefined;
  await sandbox.serve(
    unary((body, { deadlineMs }) => {
      seen = deadlineMs;
      return Promise.resolve(body);
    }),
  );
  const deadlineMs = Date.now() + 60_000;

  await gateway.request('sandbox', method, empty, { deadlineMs });

  assert.ok(seen !== undefined && Math.abs(seen - deadlineMs) < 5000);
});

test('a passed deadline and an aborted signal send nothing', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  let calls = 0;
  await sandbox.serve(unary((body) => Promise.resolve(body).finally(() => (calls += 1))));

  await assert.rejects(gateway.request('sandbox', method, empty, { deadlineMs: Date.now() - 1 }), {
    kind: 'deadline-exceeded',
  });
  await assert.rejects(gateway.request('sandbox', method, empty, { signal: AbortSignal.abort() }), {
    kind: 'canceled',
  });
  await gateway.request('sandbox', method, empty);
  assert.equal(calls, 1);
});

test('requests spread over the instances of a service', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  let handled = 0;
  for (const instance of ['a', 'b', 'c']) {
    const sandbox = await nats.connect('sandbox', { instance });
    await sandbox.serve(
      unary(() => {
        handled += 1;
        return Promise.resolve(Buffer.from(instance));
      }),
    );
  }

  const answers = await Promise.all(
    Array.from({ length: 60 }, () => gateway.request('sandbox', method, empty)),
  );

  const asked = new Set(answers.map((answer) => Buffer.from(answer).toString()));
  assert.deepEqual([...asked].sort(), ['a', 'b', 'c']);
  assert.equal(handled, 60);
});

test('disposing of a service answers what is in flight and takes no more', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const begun = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const serving = await sandbox.serve(
    unary(async (body) => {
      if (body.length > 0) {
        begun.resolve();
        await go.promise;
      }
      return body;
    }),
  );
  const answer = gateway.request('sandbox', method, Buffer.from('late'));
  await begun.promise;

  let disposed = false;
  const disposing = serving[Symbol.asyncDispose]().then(() => (disposed = true));
  const refusal = async (): Promise<unknown> => {
    try {
      // The server may not have heard yet that nobody takes requests any more.
      for (;;) {
        await gateway.request('sandbox', method, empty);
      }
    } catch (error) {
      return error;
    }
  };
  assert.equal(kindOf(await refusal()), 'unavailable');
  assert.equal(disposed, false);
  go.resolve();

  assert.equal(Buffer.from(await answer).toString(), 'late');
  await disposing;
});

test('a method is offered once; what was disposed of may be offered again', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const serving = await sandbox.serve(unary((body) => Promise.resolve(body)));
  await assert.rejects(sandbox.serve(unary((body) => Promise.resolve(body))), {
    kind: 'already-exists',
  });

  await serving[Symbol.asyncDispose]();
  await sandbox.serve(unary(() => Promise.resolve(Buffer.from('again'))));

  const answer = await gateway.request('sandbox', method, empty);
  assert.equal(Buffer.from(answer).toString(), 'again');
});

test('a request on a disposed bus is unavailable', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  const { handlers, begun } = untilAborted();
  await sandbox.serve(handlers);
  const pending = assert.rejects(gateway.request('sandbox', method, empty), {
    kind: 'unavailable',
  });
  await begun;

  await gateway[Symbol.asyncDispose]();

  await pending;
  assert.equal(gateway.connected, false);
  await assert.rejects(gateway.request('sandbox', method, empty), { kind: 'unavailable' });
});

test('headers that no header may be are refused before anything is sent', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  for (const carrier of [{ 'a:b': 'c' }, { a: 'b\r\nc' }, { a: 'x'.repeat(2 << 20) }]) {
    await assert.rejects(gateway.request('sandbox', method, empty, { carrier }), {
      kind: 'invalid-argument',
    });
  }
});

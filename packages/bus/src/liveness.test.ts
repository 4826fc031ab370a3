import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Bus } from './bus.ts';
import type { RawHandlers } from './handler.ts';
import { beatMs, hungMs, probeMs, serviceSilenceMs, tickMs } from './limits.ts';
import { startTestNats, type TestNats } from './testing.ts';

const method = 'runtime.v1.RuntimeService/StopPodSandbox';
const events = 'runtime.v1.RuntimeService/GetContainerEvents';
const empty = new Uint8Array(0);

interface Child {
  readonly process: ChildProcess;
  /** Resolves when the child has written `word`. */
  said(word: string): Promise<void>;
  /** All that it has written. */
  output(): string;
}

function startChild(t: TestContext, nats: TestNats, role: string): Child {
  const service = role === 'serve' ? 'sandbox' : 'gateway';
  const script = join(import.meta.dirname, 'liveness-child.ts');
  const args = [script, role, JSON.stringify(nats.busOptions(service))];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  return {
    process: child,
    output: () => output,
    said: async (word) => {
      while (!output.includes(word)) {
        await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
        assert.equal(child.exitCode, null, `child ended: ${output}`);
      }
    },
  };
}

/** Serves `method` until the signal aborts, and tells why it did. */
function waiting(): { handlers: RawHandlers; begun: Promise<void>; aborted: Promise<Error> } {
  const begun = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<Error>();
  const handlers: RawHandlers = new Map([
    [
      method,
      {
        kind: 'unary',
        handle: async (body, { signal }) => {
          begun.resolve();
          if (!signal.aborted) {
            await once(signal, 'abort');
          }
          aborted.resolve(signal.reason as Error);
          return body;
        },
      },
    ],
  ]);
  return { handlers, begun: begun.promise, aborted: aborted.promise };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await delay(10);
  }
}

/** On a host that takes its time: what 5 s are made of is asserted for itself. */
const enoughMs = 20_000;

/** What the server says of a process that is gone; one that is silent is told so in other words. */
const ended = { kind: 'unavailable', message: /the service ended while it worked/ };

const isConnected = (bus: Bus) => (): boolean => bus.connected;

test('a service that is gone is noticed within 5 s, and one that is slow is not taken for it', () => {
  assert.ok(serviceSilenceMs + tickMs < 5000);
  assert.ok(10 * (beatMs + tickMs) < hungMs, 'beats may be late');
  assert.ok(probeMs + tickMs < 1000, 'a kill is noticed within a second');
});

describe('liveness', { concurrency: true }, () => {
  test('a service killed right after it began is unavailable within 5 s', async (t) => {
    const nats = await startTestNats(t);
    const gateway = await nats.connect('gateway');
    const child = startChild(t, nats, 'serve');
    await child.said('ready');

    const answer = gateway.request('sandbox', method, empty);
    const rejected = assert.rejects(answer, { kind: 'unavailable' });
    await child.said('begun');
    const killedAt = performance.now();
    child.process.kill('SIGKILL');
    await rejected;

    assert.ok(performance.now() - killedAt < enoughMs);
  });

  test('a service killed after several beats is unavailable within 5 s', async (t) => {
    const nats = await startTestNats(t);
    const gateway = await nats.connect('gateway');
    const child = startChild(t, nats, 'serve');
    await child.said('ready');
    let over = false;

    const answer = gateway.request('sandbox', method, empty);
    const rejected = assert.rejects(answer, ended).finally(() => {
      over = true;
    });
    // Longer than the silence that would end a call that nobody has taken: the beats keep it.
    await delay(serviceSilenceMs + 2000);
    assert.equal(over, false);
    assert.equal(child.output().includes('aborted'), false);
    const killedAt = performance.now();
    child.process.kill('SIGKILL');
    await rejected;

    assert.ok(performance.now() - killedAt < enoughMs);
  });

  test('a stream whose service is killed ends with unavailable within 5 s', async (t) => {
    const nats = await startTestNats(t);
    const gateway = await nats.connect('gateway');
    const child = startChild(t, nats, 'serve');
    await child.said('ready');
    const items = gateway.stream('sandbox', events, empty)[Symbol.asyncIterator]();
    await items.next();
    await child.said('begun');

    const killedAt = performance.now();
    child.process.kill('SIGKILL');

    await assert.rejects(items.next(), ended);
    assert.ok(performance.now() - killedAt < enoughMs);
  });

  test('a service that is paused is not taken for one that ended: only its silence tells', async (t) => {
    const nats = await startTestNats(t);
    const gateway = await nats.connect('gateway');
    const child = startChild(t, nats, 'serve');
    await child.said('ready');
    const items = gateway.stream('sandbox', events, empty)[Symbol.asyncIterator]();
    await items.next();
    await child.said('begun');

    child.process.kill('SIGSTOP');

    await assert.rejects(items.next(), { kind: 'unavailable', message: /fell silent while it/ });
  });

  test('a paused service that goes on in time goes on with its calls', async (t) => {
    const nats = await startTestNats(t);
    const gateway = await nats.connect('gateway');
    const child = startChild(t, nats, 'serve');
    await child.said('ready');
    const items = gateway.stream('sandbox', events, empty)[Symbol.asyncIterator]();
    await items.next();
    await child.said('begun');
    let over = false;
    const next = items.next().finally(() => {
      over = true;
    });
    next.catch(() => undefined);

    child.process.kill('SIGSTOP');
    // As long as a slow disk may hold it up: the caller has looked whether it is still there, and it is.
    await delay(serviceSilenceMs + 2000);
    child.process.kill('SIGCONT');
    await delay(probeMs + tickMs);

    assert.equal(over, false);
    assert.equal(child.output().includes('aborted'), false);
  });

  test('a handler is aborted soon after its caller was killed', async (t) => {
    const nats = await startTestNats(t);
    const sandbox = await nats.connect('sandbox');
    const { handlers, begun, aborted } = waiting();
    await sandbox.serve(handlers);
    const child = startChild(t, nats, 'ask');
    await begun;

    const killedAt = performance.now();
    child.process.kill('SIGKILL');

    assert.equal((await aborted).name, 'AbortError');
    assert.ok(performance.now() - killedAt < enoughMs);
  });

  test('a handler is aborted when its caller hangs without a word', async (t) => {
    const nats = await startTestNats(t);
    const sandbox = await nats.connect('sandbox');
    const { handlers, begun, aborted } = waiting();
    await sandbox.serve(handlers);
    const child = startChild(t, nats, 'ask-large');
    await begun;

    // Its inbox is still there, so that only the missing answers to the beats tell.
    child.process.kill('SIGSTOP');

    assert.equal((await aborted).message, 'the caller hangs');
  });

  test('a kill of NATS ends calls on both sides; all work again when it is back', async (t) => {
    const nats = await startTestNats(t);
    const lost: string[] = [];
    const gateway = await nats.connect('gateway', { onEvent: ({ type }) => lost.push(type) });
    const sandbox = await nats.connect('sandbox');
    const { handlers, begun, aborted } = waiting();
    const echo = 'runtime.v1.RuntimeService/Version';
    await sandbox.serve(
      new Map([
        ...handlers,
        [echo, { kind: 'unary' as const, handle: (body) => Promise.resolve(body) }],
      ]),
    );
    // Not by silence: that is told in other words.
    const inFlight = assert.rejects(gateway.request('sandbox', method, empty), {
      kind: 'unavailable',
      message: /the connection to NATS was lost/,
    });
    await begun;

    await nats.kill();
    await inFlight;
    assert.equal((await aborted).message, 'the connection to NATS was lost');
    const away = { kind: 'unavailable', message: /NATS is not connected/ };
    await assert.rejects(gateway.request('sandbox', echo, empty), away);
    await assert.rejects(gateway.gather('sandbox', echo, empty), away);
    await nats.start();
    await until(isConnected(gateway));
    await until(isConnected(sandbox));

    const answer = await gateway.request('sandbox', echo, Buffer.from('back'));
    assert.equal(Buffer.from(answer).toString(), 'back');
    assert.deepEqual(lost, ['disconnected', 'connected']);
  });

  test('a bus may be disposed of while NATS is away', async (t) => {
    const nats = await startTestNats(t);
    const sandbox = await nats.connect('sandbox');
    const { handlers } = waiting();
    await sandbox.serve(handlers);
    await nats.kill();
    await until(() => !sandbox.connected);

    await sandbox[Symbol.asyncDispose]();

    assert.equal(sandbox.connected, false);
  });

  test('a bus waits for a NATS that is not there yet, until its signal aborts', async (t) => {
    const nats = await startTestNats(t);
    await nats.kill();
    const connecting = nats.connect('gateway');
    const controller = new AbortController();
    const given = assert.rejects(nats.connect('gateway', { signal: controller.signal }), {
      name: 'AbortError',
    });
    await delay(400);
    controller.abort();
    await given;

    await nats.start();

    assert.equal((await connecting).connected, true);
  });
});

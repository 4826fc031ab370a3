import assert from 'node:assert/strict';
import { mock, type TestContext, test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import { ExecSyncRequestSchema } from '@gantry/proto';
import type { ExecExit, ExecTarget, RunningExec } from '../ports.ts';
import { execSync } from './exec-sync.ts';

const target: ExecTarget = {
  containerId: 'c1full',
  runtimePath: '/usr/sbin/runc',
  runtimeArgs: [],
  pid: 0,
  processJson: new Uint8Array(),
};

function setUp(drainTimeoutMs = 0, again?: RuntimeError) {
  const events: string[] = [];
  const exited = Promise.withResolvers<ExecExit>();
  const drained = Promise.withResolvers<void>();
  const exec: RunningExec = {
    exited: exited.promise,
    drained: drained.promise,
    output: () => ({ stdout: Buffer.from('out'), stderr: Buffer.from('err') }),
    kill: () => {
      events.push('kill');
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => {
      events.push('dispose');
      return Promise.resolve();
    },
  };
  const handler = execSync({
    targets: {
      find: (id, { fresh }) => {
        events.push(`find ${id}${fresh === true ? ' again' : ''}`);
        if (fresh === true && again !== undefined) {
          return Promise.reject(again);
        }
        return id === 'gone'
          ? Promise.reject(new RuntimeError('not-found', 'container gone: not found'))
          : Promise.resolve(target);
      },
    },
    runtime: {
      exec: ({ containerId }, command) => {
        events.push(`exec ${containerId} ${command.join(' ')}`);
        return exec;
      },
    },
    drainTimeoutMs,
  });
  const caller = new AbortController();
  const call = (init: MessageInitShape<typeof ExecSyncRequestSchema> = {}) =>
    handler(create(ExecSyncRequestSchema, { containerId: 'c1', cmd: ['ls', '-l'], ...init }), {
      signal: caller.signal,
    });
  return { call, caller, events, exited, drained };
}

/** Lets everything that is ready run. */
const settle = () => new Promise(setImmediate);

function mockTimers(t: TestContext): void {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => {
    mock.timers.reset();
  });
}

test('the answer comes when the command has ended and its outputs are closed', async () => {
  const { call, events, exited, drained } = setUp();
  const answer = call();
  exited.resolve({ started: true, exitCode: 3 });
  await settle();
  assert.deepEqual(events, ['find c1', 'exec c1full ls -l']);
  drained.resolve();
  assert.deepEqual(await answer, {
    exitCode: 3,
    stdout: Buffer.from('out'),
    stderr: Buffer.from('err'),
  });
  assert.deepEqual(events.slice(2), ['dispose']);
});

test('an unknown container is told as it is, and nothing is started', async () => {
  const { call, events } = setUp();
  await assert.rejects(call({ containerId: 'gone' }), { kind: 'not-found' });
  assert.deepEqual(events, ['find gone']);
});

for (const [what, init] of [
  ['no container', { containerId: '' }],
  ['no command', { cmd: [] }],
  ['a zero byte', { cmd: ['a\0b'] }],
  ['a negative timeout', { timeout: -1n }],
] as const) {
  test(`a request with ${what} is refused before anyone is asked`, async () => {
    const { call, events } = setUp();
    await assert.rejects(call({ ...init, cmd: 'cmd' in init ? [...init.cmd] : ['ls'] }), {
      kind: 'invalid-argument',
    });
    assert.deepEqual(events, []);
  });
}

test('a command that can not be started is unknown, in the runtime’s words', async () => {
  const { call, events, exited } = setUp();
  exited.resolve({ started: false, words: 'executable file not found in $PATH' });
  await assert.rejects(call(), {
    kind: 'unknown',
    message: 'exec in container c1full: "ls -l": executable file not found in $PATH',
  });
  assert.ok(events.includes('dispose'));
});

for (const [what, end] of [
  ['refused', (exited) => exited.resolve({ started: false, words: 'container does not exist' })],
  ['not run', (exited) => exited.reject(new RuntimeError('failed-precondition', 'no runc'))],
] as readonly [string, (exited: PromiseWithResolvers<ExecExit>) => void][]) {
  test(`a container that has ended is told as such when its command is ${what}`, async () => {
    const { call, events, exited } = setUp(
      0,
      new RuntimeError('not-found', 'container c1full: not found'),
    );
    end(exited);
    await assert.rejects(call(), { kind: 'not-found' });
    assert.ok(events.includes('find c1full again'));
    assert.ok(events.includes('dispose'));
  });
}

test('the runtime’s words are told when nobody knows of the container', async () => {
  const { call, exited } = setUp(0, new RuntimeError('unavailable', 'nobody listens'));
  exited.resolve({ started: false, words: 'no such file' });
  await assert.rejects(call(), { kind: 'unknown', message: /no such file$/ });
});

test('a runtime that can not be run keeps its kind', async () => {
  const { call, exited } = setUp();
  exited.reject(new RuntimeError('failed-precondition', 'runc is missing'));
  await assert.rejects(call(), {
    kind: 'failed-precondition',
    message: 'exec in container c1full: "ls -l"',
  });
});

test('after the timeout the command is killed before the answer', async (t) => {
  mockTimers(t);
  const { call, events } = setUp();
  const answer = assert.rejects(call({ timeout: 2n }), {
    kind: 'deadline-exceeded',
    message: 'exec in container c1full: "ls -l": timeout 2s exceeded',
  });
  await settle();
  mock.timers.tick(1999);
  await settle();
  assert.ok(!events.includes('kill'));
  mock.timers.tick(1);
  await answer;
  assert.deepEqual(events.slice(2), ['kill', 'dispose']);
});

test('the timeout counts while outputs are held, too', async (t) => {
  mockTimers(t);
  const { call, exited } = setUp();
  exited.resolve({ started: true, exitCode: 0 });
  const answer = assert.rejects(call({ timeout: 1n }), { kind: 'deadline-exceeded' });
  await settle();
  mock.timers.tick(1000);
  await answer;
});

for (const timeout of [0n, 1n << 40n]) {
  test(`a timeout of ${timeout} s starts no timer`, async (t) => {
    mockTimers(t);
    const { call, events, exited, drained } = setUp();
    const answer = call({ timeout });
    await settle();
    mock.timers.tick(0x7fffffff);
    exited.resolve({ started: true, exitCode: 0 });
    drained.resolve();
    assert.equal((await answer).exitCode, 0);
    assert.ok(!events.includes('kill'));
  });
}

test('a caller that gives up has the command killed', async () => {
  const { call, caller, events } = setUp();
  const answer = assert.rejects(call(), { kind: 'canceled' });
  await settle();
  caller.abort();
  await answer;
  assert.deepEqual(events.slice(2), ['kill', 'dispose']);
});

test('a caller whose deadline passes is told so', async () => {
  const { call, caller } = setUp();
  const answer = assert.rejects(call(), { kind: 'deadline-exceeded' });
  await settle();
  caller.abort(new DOMException('late', 'TimeoutError'));
  await answer;
});

test('outputs that others hold are given up after the configured time', async (t) => {
  mockTimers(t);
  const { call, events, exited } = setUp(500);
  const answer = assert.rejects(call(), {
    kind: 'unknown',
    message: /failed to drain exec process io in 500ms because io is still held/,
  });
  await settle();
  mock.timers.tick(10_000);
  exited.resolve({ started: true, exitCode: 0 });
  await settle();
  mock.timers.tick(499);
  await settle();
  assert.ok(!events.includes('kill'), 'the time counts from the end of the command');
  mock.timers.tick(1);
  await answer;
  assert.ok(events.includes('kill'));
});

test('outputs that are closed in time are no trouble', async (t) => {
  mockTimers(t);
  const { call, exited, drained } = setUp(500);
  const answer = call();
  exited.resolve({ started: true, exitCode: 1 });
  await settle();
  mock.timers.tick(499);
  drained.resolve();
  assert.equal((await answer).exitCode, 1);
});

test('a long command is told in part', async () => {
  const { call, exited } = setUp();
  exited.resolve({ started: false, words: 'no' });
  await assert.rejects(call({ cmd: ['x'.repeat(10_000)] }), (error: Error) => {
    assert.ok(error.message.length < 300);
    return true;
  });
});

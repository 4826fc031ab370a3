import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { ExecSyncRequestSchema } from '@gantry/proto';
import { createLogger } from '@gantry/telemetry';
import { ExecDirectory } from './adapters/exec-directory.ts';
import { maxOutputBytes } from './adapters/oci-exec.ts';
import { OciRuntime } from './adapters/oci-runtime.ts';
import { type RuntimeName, startBusyboxContainer, whyNoContainer } from './busybox-container.ts';
import { execSync } from './rpc/exec-sync.ts';

// Real containers under real runtimes; only sandbox-service's part is played.

const log = createLogger({ service: 'stream', instance: 'test', level: 'error' });
const keeper = '/bin/sleep 10000';

async function start(t: TestContext, name: RuntimeName, drainTimeoutMs: number) {
  const container = startBusyboxContainer(t, name);
  const stateDir = mkdtempSync(join(tmpdir(), 'gantry-stream-'));
  const directory = await ExecDirectory.open(stateDir, 'i1', log);
  const runtime = new OciRuntime(directory);
  t.after(async () => {
    await runtime[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
    rmSync(stateDir, { recursive: true, force: true });
  });
  const handler = execSync({
    targets: { find: () => Promise.resolve(container.target) },
    runtime,
    drainTimeoutMs,
  });
  const caller = new AbortController();
  const run = async (cmd: string[], init: MessageInitShape<typeof ExecSyncRequestSchema> = {}) => {
    const request = create(ExecSyncRequestSchema, { containerId: 'c1', ...init, cmd });
    const { stdout, stderr, exitCode } = await handler(request, { signal: caller.signal });
    return { stdout: Buffer.from(stdout), stderr: Buffer.from(stderr), exitCode };
  };
  const sh = (script: string, init: MessageInitShape<typeof ExecSyncRequestSchema> = {}) =>
    run(['sh', '-c', script], init);
  const files = () => readdirSync(join(stateDir, 'exec', 'i1'));
  return { ...container, run, sh, caller, files, stateDir };
}

for (const name of ['runc', 'crun'] as const) {
  const skip = await whyNoContainer(name);
  const setUp = (t: TestContext, drainTimeoutMs = 0) => start(t, name, drainTimeoutMs);

  test(`${name}: a command runs as the container’s process does`, { skip }, async (t) => {
    const { sh, files, run } = await setUp(t);
    const result = await sh('echo $GREETING; pwd; id -u; echo oops > /dev/stderr; exit 42');
    assert.equal(result.exitCode, 42);
    assert.equal(result.stdout.toString(), 'hello\n/\n0\n');
    assert.equal(result.stderr.toString(), 'oops\n');
    assert.equal((await run(['true'])).exitCode, 0);
    assert.equal((await sh('kill -9 $$')).exitCode, 137);
    assert.equal((await run(['cat'])).exitCode, 0);
    assert.deepEqual(files(), []);
  });

  test(`${name}: 20 MiB on both outputs are cut at 16 and block nobody`, { skip }, async (t) => {
    const { sh } = await setUp(t);
    const flood = 'yes 0123456 | head -c 20971520';
    const { stdout, stderr, exitCode } = await sh(`${flood}; ${flood} >&2; exit 5`);
    assert.equal(exitCode, 5);
    assert.equal(stdout.length, maxOutputBytes);
    assert.equal(stderr.length, maxOutputBytes);
    assert.equal(stdout.subarray(-8).toString(), '0123456\n');
  });

  test(`${name}: after the timeout the command and its children are gone, the container is not`, {
    skip,
  }, async (t) => {
    const { sh, processes, files } = await setUp(t);
    await assert.rejects(sh('sleep 999 & sleep 999; echo never', { timeout: 1n }), {
      kind: 'deadline-exceeded',
      message: /timeout 1s exceeded$/,
    });
    assert.deepEqual(processes(), [keeper]);
    assert.deepEqual(files(), []);
    assert.equal((await sh('exit 6')).exitCode, 6);
  });

  test(`${name}: a caller that gives up leaves no process`, { skip }, async (t) => {
    const { sh, processes, caller } = await setUp(t);
    const answer = assert.rejects(sh('echo begun; sleep 999'), { kind: 'canceled' });
    while (!processes().some((command) => command.includes('sleep 999'))) {
      await delay(10);
    }
    caller.abort();
    await answer;
    assert.deepEqual(processes(), [keeper]);
  });

  test(`${name}: a caller that gives up at once leaves no process either`, { skip }, async (t) => {
    const { sh, processes, caller } = await setUp(t);
    const answer = assert.rejects(sh('sleep 999'), { kind: 'canceled' });
    await new Promise(setImmediate);
    caller.abort();
    await answer;
    assert.deepEqual(processes(), [keeper]);
  });

  test(`${name}: the answer waits for a background process that holds the outputs`, {
    skip,
  }, async (t) => {
    const { sh } = await setUp(t);
    const { stdout } = await sh('(sleep 1; echo late) & echo early');
    assert.equal(stdout.toString(), 'early\nlate\n');
  });

  test(`${name}: and no longer than configured`, { skip }, async (t) => {
    const { sh, processes } = await setUp(t, 200);
    await assert.rejects(sh('sleep 998 & echo early'), {
      kind: 'unknown',
      message: /io is still held by other processes/,
    });
    // It is not the command's child any more: it may be a daemon that is meant to stay.
    assert.ok(processes().includes('sleep 998'));
    const detached = await sh('sleep 997 > /dev/null 2>&1 & echo fine');
    assert.equal(detached.stdout.toString(), 'fine\n');
  });

  for (const [what, cmd, words] of [
    ['does not exist', ['nope'], /nope.* not found in \$PATH/],
    ['is no program', ['/tmp'], /not permitted|permission denied|is a directory/i],
  ] as const) {
    test(`${name}: a command that ${what} is told in its words`, { skip }, async (t) => {
      const { run, files } = await setUp(t);
      await assert.rejects(run([...cmd]), { kind: 'unknown', message: words });
      assert.deepEqual(files(), []);
    });
  }

  test(`${name}: a killed instance’s exec is ended by the next one`, { skip }, async (t) => {
    const { target, processes, stateDir } = await setUp(t);
    const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
    const target64 = Buffer.from(target.processJson).toString('base64');
    const script = `
    import { ExecDirectory } from ${url('./adapters/exec-directory.ts')};
    import { OciRuntime } from ${url('./adapters/oci-runtime.ts')};
    const log = { info() {}, warn() {} };
    const runtime = new OciRuntime(await ExecDirectory.open(${JSON.stringify(stateDir)}, 'dead', log));
    const target = ${JSON.stringify({ ...target, processJson: undefined })};
    target.processJson = Buffer.from('${target64}', 'base64');
    runtime.exec(target, ['sh', '-c', 'sleep 996; echo']);
    setInterval(() => undefined, 1000);
  `;
    const victim = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    t.after(() => victim.kill('SIGKILL'));
    const runs = (): boolean => processes().some((command) => command.includes('sleep 996'));
    while (!runs()) {
      await delay(10);
    }
    const exit = once(victim, 'exit');
    victim.kill('SIGKILL');
    await exit;
    assert.ok(runs(), 'the exec outlives its instance');

    await using next = await ExecDirectory.open(stateDir, 'next', log);
    assert.ok(next);
    while (processes().length > 1) {
      await delay(10);
    }
    assert.deepEqual(readdirSync(join(stateDir, 'exec')).sort(), [
      'i1',
      'i1.lock',
      'next',
      'next.lock',
    ]);
  });
}

import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createLogger } from '@gantry/telemetry';
import type { ExecTarget, RunningExec } from '../ports.ts';
import { ExecDirectory } from './exec-directory.ts';
import { OciRuntime } from './oci-runtime.ts';

/*
 * The adapter with a shell script in the runtime's place: it is called as
 * `script --root X exec --detach --process FILE --pid-file FILE ID`.
 */
async function setUp(t: TestContext, script: string) {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-oci-'));
  const runtimePath = join(dir, 'runtime');
  writeFileSync(runtimePath, `#!/bin/sh\nprocess=$6 pidfile=$8 id=$9\n${script}\n`);
  chmodSync(runtimePath, 0o755);
  const log = createLogger({ service: 'stream', instance: 'i1', level: 'error' });
  const directory = await ExecDirectory.open(dir, 'i1', log);
  const runtime = new OciRuntime(directory);
  t.after(async () => {
    await runtime[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });
  const target: ExecTarget = {
    containerId: 'c1',
    runtimePath,
    runtimeArgs: ['--root', '/x', '--log', '/y'].slice(0, 2),
    pid: 0,
    processJson: new TextEncoder().encode('{"cwd":"/srv"}'),
  };
  return { runtime, target, execDir: join(dir, 'exec', 'i1') };
}

/** Leaves a process behind, as a runtime does; it begins when the runtime has gone, for a shell would reap it. */
const leave = (script: string): string =>
  `{ while kill -0 $$; do :; done 2>/dev/null; ${script}\n} & echo $! > $pidfile`;

/** Its runtime has gone by then: a shell in that place reaps what ends before. */
async function isReady(exec: RunningExec): Promise<void> {
  while (exec.output().stdout.length === 0) {
    await delay(5);
  }
}

test('the runtime gets process file and pid file, and its outputs are told apart', async (t) => {
  const { runtime, target, execDir } = await setUp(
    t,
    leave('cat "$process"; echo "$1 $2 $3 $4 $5 $7 $id" >&2; exit 3'),
  );
  {
    await using exec = runtime.exec(target, ['ls', '-l']);
    assert.deepEqual(await exec.exited, { started: true, exitCode: 3 });
    await exec.drained;
    const { stdout, stderr } = exec.output();
    assert.deepEqual(JSON.parse(Buffer.from(stdout).toString()), {
      cwd: '/srv',
      args: ['ls', '-l'],
      terminal: false,
    });
    assert.equal(
      Buffer.from(stderr).toString(),
      '--root /x exec --detach --process --pid-file c1\n',
    );
    assert.notDeepEqual(readdirSync(execDir), []);
  }
  assert.deepEqual(readdirSync(execDir), []);
});

test('outputs are pipes that a program may open again', async (t) => {
  const { runtime, target } = await setUp(
    t,
    leave('echo one > /dev/stdout; echo two > /proc/self/fd/2'),
  );
  await using exec = runtime.exec(target, ['x']);
  assert.deepEqual(await exec.exited, { started: true, exitCode: 0 });
  await exec.drained;
  const { stdout, stderr } = exec.output();
  assert.equal(Buffer.from(stdout).toString(), 'one\n');
  assert.equal(Buffer.from(stderr).toString(), 'two\n');
});

test('nothing of our environment but the path is the runtime’s business', async (t) => {
  process.env['LISTEN_FDS'] = '2';
  t.after(() => delete process.env['LISTEN_FDS']);
  const { runtime, target } = await setUp(t, leave('echo "$LISTEN_FDS,$HOME,$PATH"'));
  await using exec = runtime.exec(target, ['x']);
  await exec.exited;
  await exec.drained;
  const { stdout } = exec.output();
  assert.match(Buffer.from(stdout).toString(), /^,,.*\/usr\/sbin:\/usr\/bin:\/sbin:\/bin\n$/);
});

test('without a pid file nothing was started, and the runtime says why', async (t) => {
  const { runtime, target } = await setUp(t, 'echo \'level=error msg="no \\"x\\""\' >&2; exit 255');
  await using exec = runtime.exec(target, ['x']);
  assert.deepEqual(await exec.exited, { started: false, words: 'no "x"' });
});

test('a runtime that fails without a word is told by its code', async (t) => {
  const { runtime, target } = await setUp(t, 'exit 9');
  await using exec = runtime.exec(target, ['x']);
  assert.deepEqual(await exec.exited, {
    started: false,
    words: 'the runtime ended with code 9',
  });
});

test('a runtime that is missing is told by name, and leaves nothing', async (t) => {
  const { runtime, target, execDir } = await setUp(t, '');
  assert.throws(() => runtime.exec({ ...target, runtimePath: '/nowhere/runc' }, ['x']), {
    kind: 'failed-precondition',
    message: /runc is missing: install Debian package runc/,
  });
  assert.deepEqual(readdirSync(execDir), []);
});

test('what can not be spawned at all leaves nothing', async (t) => {
  const { runtime, target, execDir } = await setUp(t, '');
  assert.throws(() => runtime.exec({ ...target, processJson: new Uint8Array() }, ['x']), {
    kind: 'internal',
  });
  assert.throws(() => runtime.exec({ ...target, containerId: 'a\0b' }, ['x']));
  assert.deepEqual(readdirSync(execDir), []);
});

for (const [what, script, exitCode] of [
  ['its code', leave('exit 5'), 5],
  ['its signal', leave('exec sh -c "kill -TERM \\$\\$"'), 143],
  [
    'its code, also when it ends before the runtime',
    '{ while grep -q "^runtime" /proc/$$/comm; do :; done; exit 6; } & echo $! > $pidfile; exec sleep 0.3',
    6,
  ],
] as const) {
  test(`the exit of a process is ${what}`, async (t) => {
    const { runtime, target } = await setUp(t, script);
    await using exec = runtime.exec(target, ['x']);
    assert.deepEqual(await exec.exited, { started: true, exitCode });
  });
}

test('a runtime that says it was well and tells no pid is at fault', async (t) => {
  const { runtime, target } = await setUp(t, 'exit 0');
  await using exec = runtime.exec(target, ['x']);
  await assert.rejects(exec.exited, { kind: 'internal', message: /told no pid/ });
});

test('a kill ends the process and all it started, once the runtime has ended', async (t) => {
  const { runtime, target } = await setUp(t, leave('echo ready; sleep 100 & sleep 100; sleep 100'));
  await using exec = runtime.exec(target, ['x']);
  await isReady(exec);
  await exec.kill();
  assert.deepEqual(await exec.exited, { started: true, exitCode: 137 });
  await exec.drained;
});

test('a kill ends a runtime that does not end by itself, and all it started', async (t) => {
  const { runtime, target } = await setUp(t, `sleep 100 & exec sleep 100`);
  await using exec = runtime.exec(target, ['x']);
  await exec.kill();
  assert.deepEqual(await exec.exited, {
    started: false,
    words: 'the runtime ended with SIGKILL',
  });
  await exec.drained;
});

test('disposing of the runtime ends what still runs', async (t) => {
  const { runtime, target, execDir } = await setUp(t, leave('echo ready; sleep 100'));
  const exec = runtime.exec(target, ['x']);
  await isReady(exec);
  await runtime[Symbol.asyncDispose]();
  await exec.exited;
  assert.deepEqual(readdirSync(execDir), []);
  assert.ok(existsSync(execDir));
});

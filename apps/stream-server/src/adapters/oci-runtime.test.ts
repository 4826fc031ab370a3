import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createLogger } from '@gantry/telemetry';
import type { ExecTarget } from '../ports.ts';
import { ExecDirectory } from './exec-directory.ts';
import { OciRuntime } from './oci-runtime.ts';

/*
 * The adapter with a shell script in the runtime's place: it is called as
 * `script --root X exec --process FILE --pid-file FILE ID`.
 */
async function setUp(t: TestContext, script: string) {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-oci-'));
  const runtimePath = join(dir, 'runtime');
  writeFileSync(runtimePath, `#!/bin/sh\nprocess=$5 pidfile=$7 id=$8\n${script}\n`);
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
    processJson: new TextEncoder().encode('{"cwd":"/srv"}'),
  };
  return { runtime, target, execDir: join(dir, 'exec', 'i1') };
}

const ran = 'echo $$ > $pidfile';

test('the runtime gets process file and pid file, and its outputs are told apart', async (t) => {
  const { runtime, target, execDir } = await setUp(
    t,
    `${ran}; cat $process; echo "$1 $2 $3 $4 $6 $id" >&2; exit 3`.replace('$process', '"$process"'),
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
    assert.equal(Buffer.from(stderr).toString(), '--root /x exec --process --pid-file c1\n');
    assert.notDeepEqual(readdirSync(execDir), []);
  }
  assert.deepEqual(readdirSync(execDir), []);
});

test('outputs are pipes that a program may open again', async (t) => {
  const { runtime, target } = await setUp(
    t,
    `${ran}; echo one > /dev/stdout; echo two > /proc/self/fd/2`,
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
  const { runtime, target } = await setUp(t, `${ran}; echo "$LISTEN_FDS,$HOME,$PATH"`);
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

test('a kill ends a runtime that does not end by itself, and all it started', async (t) => {
  const { runtime, target } = await setUp(t, `${ran}; sleep 100 & sleep 100; exec sleep 100`);
  await using exec = runtime.exec(target, ['x']);
  await exec.kill();
  assert.equal((await exec.exited).started, true);
  await exec.drained;
});

test('disposing of the runtime ends what still runs', async (t) => {
  const { runtime, target, execDir } = await setUp(t, `${ran}; sleep 100; exit 137`);
  const exec = runtime.exec(target, ['x']);
  await runtime[Symbol.asyncDispose]();
  await exec.exited;
  assert.deepEqual(readdirSync(execDir), []);
  assert.ok(existsSync(execDir));
});

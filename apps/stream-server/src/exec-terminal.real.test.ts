import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createLogger } from '@gantry/telemetry';
import { ExecDirectory } from './adapters/exec-directory.ts';
import { OciRuntime } from './adapters/oci-runtime.ts';
import { type RuntimeName, startBusyboxContainer, whyNoContainer } from './busybox-container.ts';

// Terminals that real runtimes make in real containers.

const log = createLogger({ service: 'stream', instance: 'test', level: 'error' });
const keeper = '/bin/sleep 10000';

async function start(t: TestContext, name: RuntimeName) {
  const container = startBusyboxContainer(t, name);
  const stateDir = mkdtempSync(join(tmpdir(), 'gantry-stream-'));
  const directory = await ExecDirectory.open(stateDir, 'i1', log);
  const runtime = new OciRuntime(directory);
  t.after(async () => {
    await runtime[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
    rmSync(stateDir, { recursive: true, force: true });
  });
  return {
    ...container,
    open: (...command: string[]) =>
      runtime.stream(container.target, command, { stdin: true, tty: true }),
    files: () => readdirSync(join(stateDir, 'exec', 'i1')),
  };
}

for (const name of ['runc', 'crun'] as const) {
  const skip = await whyNoContainer(name);

  test(`${name}: no word of a short command is lost, and newlines are the terminal's`, {
    skip,
  }, async (t) => {
    const { open, files } = await start(t, name);
    for (let i = 0; i < 20; i++) {
      await using exec = open('echo', 'hello', String(i));
      const output = text(exec.stdout);
      assert.deepEqual(await exec.exited, { started: true, exitCode: 0 });
      assert.equal(await output, `hello ${i}\r\n`);
    }
    assert.deepEqual(files(), []);
  });

  test(`${name}: it is the controlling terminal, with input, a size and a code`, {
    skip,
  }, async (t) => {
    const { open } = await start(t, name);
    await using exec = open(
      'sh',
      '-c',
      'read a < /dev/tty; /bin/busybox stty size; echo "$a $TERM"; exit 5',
    );
    exec.resize(41, 99);
    exec.stdin?.write('typed\n');
    const output = text(exec.stdout);
    assert.deepEqual(await exec.exited, { started: true, exitCode: 5 });
    assert.equal(await output, 'typed\r\n41 99\r\ntyped xterm\r\n');
  });

  test(`${name}: a command that does not exist is told in its words, and says nothing`, {
    skip,
  }, async (t) => {
    const { open, files } = await start(t, name);
    {
      await using exec = open('nope');
      const output = text(exec.stdout);
      const exit = await exec.exited;
      assert.match(exit.started ? '' : exit.words, /^[ -~]*nope.* not found in \$PATH[ -~]*$/);
      assert.equal(await output, '');
    }
    assert.deepEqual(files(), []);
  });

  test(`${name}: who is hung up ends, also while it is being started`, { skip }, async (t) => {
    const { open, processes } = await start(t, name);
    for (const wait of [true, false]) {
      await using exec = open('sh', '-c', 'echo ready; sleep 999');
      if (wait) {
        await new Promise((done) => exec.stdout.once('data', done));
      }
      await exec.hangUp();
      assert.deepEqual(await exec.exited, { started: true, exitCode: 129 });
    }
    while (processes().length > 1) {
      await delay(10);
    }
    assert.deepEqual(processes(), [keeper]);
  });

  test(`${name}: a kill ends one that ignores everything`, { skip }, async (t) => {
    const { open, processes } = await start(t, name);
    await using exec = open('sh', '-c', "trap '' HUP INT TERM; echo ready; sleep 998 & sleep 998");
    await new Promise((done) => exec.stdout.once('data', done));
    await exec.kill();
    assert.deepEqual(await exec.exited, { started: true, exitCode: 137 });
    while (processes().length > 1) {
      await delay(10);
    }
    assert.deepEqual(processes(), [keeper]);
  });
}

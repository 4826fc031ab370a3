import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { isKind } from '@gantry/errors';
import {
  identifyProcess,
  isRunning,
  type ProcessId,
  run,
  signalProcess,
  waitForExit,
} from './index.ts';
import { parseStat } from './process-id.ts';

const module = new URL('./index.ts', import.meta.url).href;

async function sleeper(t: TestContext): Promise<{ child: ChildProcess; id: ProcessId }> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  const id = await identifyProcess(child.pid ?? 0);
  assert.ok(id);
  return { child, id };
}

/** A zombie that this process is not the parent of, and how to be rid of it. */
async function zombie(t: TestContext): Promise<number> {
  const script =
    'import os,sys,time\np=os.fork()\nif p==0: os._exit(0)\nprint(p,flush=True)\ntime.sleep(60)';
  const child = spawn('python3', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return Number(line.toString());
}

test('a process is told apart from another with the same pid', async (t) => {
  const { id } = await sleeper(t);
  const other = { ...id, startTime: '1' };
  assert.equal(await isRunning(id), true);
  assert.equal(await isRunning(other), false);
  assert.equal(await signalProcess(other, 'SIGKILL'), false);
  await waitForExit(other);
  assert.equal(await isRunning(id), true);
});

test('a signal arrives, by name or number, until the process is gone', async (t) => {
  const { child, id } = await sleeper(t);
  assert.equal(await signalProcess(id, 0), true);
  const exit = once(child, 'exit');
  assert.equal(await signalProcess(id, 'SIGTERM'), true);
  assert.deepEqual(await exit, [null, 'SIGTERM']);
  assert.equal(await signalProcess(id, 9), false);
  assert.equal(await isRunning(id), false);
  assert.equal(await identifyProcess(id.pid), undefined);
  await waitForExit(id);
});

test('a pid that means a group, or nothing, is bad input', async () => {
  for (const pid of [0, -1, 1.5, Number.NaN]) {
    const isBad = (e: unknown): boolean => isKind(e, 'invalid-argument');
    await assert.rejects(signalProcess({ pid, startTime: '1' }, 9), isBad);
    await assert.rejects(identifyProcess(pid), isBad);
  }
});

test('a zombie does not run, and waiting for it ends at once', async (t) => {
  const pid = await zombie(t);
  const id = await identifyProcess(pid);
  assert.ok(id);
  for (const end = Date.now() + 60_000; await isRunning(id); ) {
    assert.ok(Date.now() < end);
  }
  assert.equal(await signalProcess(id, 'SIGKILL'), false);
  await waitForExit(id);
});

test('an exit is told when it comes, and not before', async (t) => {
  const { child, id } = await sleeper(t);
  let told = false;
  const waiting = waitForExit(id).then(() => {
    told = true;
  });
  await new Promise((go) => setTimeout(go, 50));
  assert.equal(told, false);
  child.kill('SIGKILL');
  await waiting;
  assert.equal(await isRunning(id), false);
});

test('a wait that is given up rejects with the reason and leaves no descriptor', async (t) => {
  const { id } = await sleeper(t);
  await assert.rejects(waitForExit(id, { signal: AbortSignal.timeout(1) }));
  const before = readdirSync('/proc/self/fd').length;
  const reason = new Error('gone');
  const controller = new AbortController();
  const waits = [1, 2, 3].map(() => waitForExit(id, { signal: controller.signal }));
  controller.abort(reason);
  for (const wait of waits) {
    await assert.rejects(wait, (e) => e === reason);
  }
  assert.equal(readdirSync('/proc/self/fd').length, before);
  await assert.rejects(waitForExit(id, { signal: controller.signal }), (e) => e === reason);
});

test('500 processes are waited for by one thread', async (t) => {
  // One shell makes them all: 500 spawns from here would be slow.
  const shell = spawn(
    'sh',
    ['-c', 'i=0; while [ $i -lt 500 ]; do sleep 60 & echo $!; i=$((i+1)); done; echo end; wait'],
    { stdio: ['ignore', 'pipe', 'inherit'], detached: true },
  );
  t.after(() => {
    shell.kill('SIGKILL');
  });
  let text = '';
  for await (const chunk of shell.stdout as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.includes('end')) {
      break;
    }
  }
  const ids = await Promise.all(
    text
      .split('\n')
      .slice(0, 500)
      .map((line) => identifyProcess(Number(line))),
  );
  const known = ids.filter((id) => id !== undefined);
  assert.equal(known.length, 500);
  const threads = readdirSync('/proc/self/task').length;
  const waits = known.map((id) => waitForExit(id));
  assert.ok(readdirSync('/proc/self/task').length <= threads + 1);
  for (const id of known) {
    assert.equal(await signalProcess(id, 'SIGKILL'), true);
  }
  await Promise.all(waits);
});

test('a process ends although it has waited, and waits keep it alive', () => {
  const script = `
    import { spawn } from 'node:child_process';
    import { identifyProcess, waitForExit } from ${JSON.stringify(module)};
    // It ends when it is known and its input closed, and no sooner.
    const child = spawn('sh', ['-c', 'read line; sleep 0.2'], { stdio: ['pipe', 'ignore', 'ignore'] });
    child.unref();
    const first = await identifyProcess(child.pid);
    child.stdin.destroy();
    await waitForExit(first);
    console.log('over');
    const other = spawn('sleep', ['30'], { stdio: 'ignore' });
    const id = await identifyProcess(other.pid);
    waitForExit(id);
    await new Promise((go) => setTimeout(go, 20));
    other.kill('SIGKILL');
    if (process.argv[1] === 'exit') process.exit(0);
  `;
  for (const how of ['exit', 'end']) {
    const { stdout, status } = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', script, how],
      { encoding: 'utf8', timeout: 60_000 },
    );
    assert.deepEqual({ stdout, status }, { stdout: 'over\n', status: 0 }, how);
  }
});

test('a stat line is read whatever the command is called', () => {
  const tail = (state: string, threads: number): string =>
    `12 (a) Z b) ${state} ${'0 '.repeat(16)}${String(threads)} 0 4711 0 0`;
  assert.deepEqual(parseStat(tail('S', 1)), { startTime: '4711', dead: false });
  assert.deepEqual(parseStat(tail('Z', 1)), { startTime: '4711', dead: true });
  assert.deepEqual(parseStat(tail('Z', 3)), { startTime: '4711', dead: false });
});

// Before Linux 6.16 the kernel answers so while the pid is still that of a group.
test('a process whose pidfd is refused as invalid is gone, unless it is there', async () => {
  const script = `
    const { identifyProcess, signalProcess, waitForExit } = await import('${module}');
    const { spawn } = await import('node:child_process');
    const { once } = await import('node:events');
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    const id = await identifyProcess(child.pid);
    const there = await signalProcess(id, 0).catch(String);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await waitForExit(id);
    console.log(JSON.stringify({ there, gone: await signalProcess(id, 0) }));
  `;
  const inject = ['-f', '-qq', '-o', '/dev/null', '-e', 'inject=pidfd_open:error=EINVAL'];
  const { exitCode, stdout, stderr } = await run(
    'strace',
    [...inject, process.execPath, '--input-type=module', '-e', script],
    { timeoutMs: 60_000 },
  );
  assert.equal(exitCode, 0, stderr.toString());
  const { there, gone } = JSON.parse(stdout.toString()) as { there: string; gone: boolean };
  assert.match(there, /EINVAL/);
  assert.equal(gone, false);
});

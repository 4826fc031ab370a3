import assert from 'node:assert/strict';
import { access, readFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { identifyProcess, isRunning, listCgroupProcesses, waitForExit } from '@gantry/host';
import { readBundleFacts } from './container-cgroup.ts';
import { assertNothingLeft, makeRuntimeBed } from './test-bundle.ts';

async function until(t: TestContext, check: () => Promise<boolean>): Promise<void> {
  while (!(await check())) {
    await delay(5, undefined, { signal: t.signal });
  }
}

async function logLines(logPath: string): Promise<string[]> {
  const text = await readFile(logPath, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

test('a container runs, its log is in CRI format, its exit is told once', async (t) => {
  const bed = await makeRuntimeBed(t);
  const launch = await bed.bundle({
    args: ['sh', '-c', 'echo out; echo err >&2; printf tail; exit 7'],
  });
  const exits: string[] = [];
  await using _watch = await bed.runtime.watchExits((id) => exits.push(id));

  const before = BigInt(Date.now()) * 1_000_000n;
  const { init, monitor } = await bed.runtime.create(launch);
  assert.equal(await bed.runtime.exitOf(launch.id, launch.bundleDir), undefined);
  assert.deepEqual(await bed.runtime.list(bed.handler), [launch.id]);
  await bed.runtime.start(bed.handler, launch.id);
  await until(t, async () => exits.length > 0);

  const exit = await bed.runtime.exitOf(launch.id, launch.bundleDir);
  assert.equal(exit?.exitCode, 7);
  assert.equal(exit.oomKilled, false);
  assert.ok(exit.finishedAtNanos > before && exit.finishedAtNanos < before + 60_000_000_000n);
  const lines = (await logLines(launch.logPath)).map((line) => line.replace(/^\S+ /, ''));
  assert.deepEqual(lines.sort(), ['stderr F err', 'stdout F out', 'stdout P tail']);
  assert.match(
    (await logLines(launch.logPath))[0] ?? '',
    /^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}(Z|[+-]\d\d:\d\d) /,
  );
  assert.equal((await stat(launch.logPath)).mode & 0o777, 0o640);
  assert.equal((await stat(dirname(launch.logPath))).mode & 0o777, 0o755);

  await bed.runtime.killAll(bed.handler, launch.id, init, monitor);
  assert.equal(await isRunning(monitor), false);
  await bed.runtime.delete(bed.handler, launch.id);
  await bed.runtime.delete(bed.handler, launch.id);
  await assertNothingLeft(bed, launch);
  assert.deepEqual(exits, [launch.id]);
});

test('killAll ends container and conmon, and the exit code tells the signal', async (t) => {
  const bed = await makeRuntimeBed(t);
  const launch = await bed.bundle({ args: ['sleep', '1000'] });
  const { init, monitor } = await bed.runtime.create(launch);
  await bed.runtime.start(bed.handler, launch.id);

  await bed.runtime.killAll(bed.handler, launch.id, init, monitor);

  assert.equal(await isRunning(init), false);
  assert.equal(await isRunning(monitor), false);
  const exit = await bed.runtime.exitOf(launch.id, launch.bundleDir);
  assert.deepEqual([exit?.exitCode, exit?.oomKilled], [137, false]);
  await bed.runtime.killAll(bed.handler, launch.id, init, monitor);
  await bed.runtime.delete(bed.handler, launch.id);
  await assertNothingLeft(bed, launch);
});

test('a signal reaches the first process; a gone one is told', async (t) => {
  const bed = await makeRuntimeBed(t);
  const launch = await bed.bundle({
    args: ['sh', '-c', 'trap "exit 3" USR1; echo up; while :; do sleep 0.05; done'],
  });
  const { init, monitor } = await bed.runtime.create(launch);
  await bed.runtime.start(bed.handler, launch.id);
  await until(t, async () => (await logLines(launch.logPath)).length > 0);
  assert.equal(await bed.runtime.signal(init, 10), true);
  await waitForExit(monitor, { signal: t.signal });
  assert.equal((await bed.runtime.exitOf(launch.id, launch.bundleDir))?.exitCode, 3);
  assert.equal(await bed.runtime.signal(init, 10), false);
});

test('killAll needs no more than the id', async (t) => {
  const bed = await makeRuntimeBed(t);
  const launch = await bed.bundle({ args: ['sleep', '1000'] });
  const { init, monitor } = await bed.runtime.create(launch);
  await bed.runtime.killAll(bed.handler, launch.id);
  assert.equal(await isRunning(init), false);
  assert.equal(await isRunning(monitor), false);
  await bed.runtime.delete(bed.handler, launch.id);
  await bed.runtime.killAll(bed.handler, launch.id);
  await assertNothingLeft(bed, launch);
});

test('killAll ends processes that the host pid namespace would keep', async (t) => {
  const bed = await makeRuntimeBed(t);
  const launch = await bed.bundle({
    args: ['sh', '-c', 'busybox setsid busybox sleep 1000 & echo up; exec busybox sleep 1000'],
    hostPid: true,
  });
  const { init, monitor } = await bed.runtime.create(launch);
  await bed.runtime.start(bed.handler, launch.id);
  await until(t, async () => (await logLines(launch.logPath)).length > 0);
  const cgroup = readBundleFacts(launch.bundleDir).cgroupPath ?? assert.fail();
  assert.ok((await listCgroupProcesses(cgroup)).length >= 2);

  await bed.runtime.killAll(bed.handler, launch.id, init, monitor);

  assert.deepEqual(await listCgroupProcesses(cgroup), []);
  await bed.runtime.delete(bed.handler, launch.id);
  await assertNothingLeft(bed, launch);
});

for (const namespace of ['host', 'pod'] as const) {
  test(`processes that outlive the first one end with the delete (pids of the ${namespace})`, async (t) => {
    const bed = await makeRuntimeBed(t);
    const pause = await bed.bundle({ args: ['sleep', '1000'] });
    const { init: holder } = await bed.runtime.create(pause);
    await bed.runtime.start(bed.handler, pause.id);
    const launch = await bed.bundle({
      args: ['sh', '-c', 'busybox setsid busybox sleep 1000 & exit 4'],
      ...(namespace === 'host' ? { hostPid: true } : { sharePidsOf: holder.pid }),
    });
    const { monitor } = await bed.runtime.create(launch);
    await bed.runtime.start(bed.handler, launch.id);
    await waitForExit(monitor, { signal: t.signal });
    const cgroup = readBundleFacts(launch.bundleDir).cgroupPath ?? assert.fail();
    assert.equal((await listCgroupProcesses(cgroup)).length, 1);

    await bed.runtime.delete(bed.handler, launch.id);

    assert.deepEqual(await listCgroupProcesses(cgroup), []);
    assert.equal(await isRunning(holder), true);
    await bed.runtime.killAll(bed.handler, pause.id);
    await bed.runtime.delete(bed.handler, pause.id);
    await assertNothingLeft(bed, launch);
  });
}

for (const [what, path] of Object.entries({
  'handler that is no longer configured': '',
  'runtime that is no longer installed': '/no/such/runtime',
})) {
  test(`containers of a ${what} can be ended`, async (t) => {
    const bed = await makeRuntimeBed(t);
    const ghost = { ...bed.handler, path };
    for (const knowsInit of [true, false]) {
      const launch = await bed.bundle({ args: ['sleep', '1000'] });
      const { init, monitor } = await bed.runtime.create(launch);
      await bed.runtime.start(bed.handler, launch.id);
      await bed.runtime.killAll(ghost, launch.id, ...(knowsInit ? [init, monitor] : []));
      assert.equal(await isRunning(init), false);
      assert.equal(await isRunning(monitor), false);
      await bed.runtime.delete(ghost, launch.id);
      await bed.runtime.delete(ghost, launch.id);
      await assertNothingLeft(bed, launch);
    }
  });
}

test('a container that runs is not deleted', async (t) => {
  const bed = await makeRuntimeBed(t);
  const launch = await bed.bundle({ args: ['sleep', '1000'] });
  const { init } = await bed.runtime.create(launch);
  await bed.runtime.start(bed.handler, launch.id);
  await assert.rejects(bed.runtime.delete(bed.handler, launch.id), {
    message: /^delete container \w+: c?runc? delete: .*(?:not stopped|is not in)/,
  });
  assert.equal(await isRunning(init), true);
});

test("a bad command fails at create in the runtime's words, and leaves nothing", async (t) => {
  const bed = await makeRuntimeBed(t);
  for (const tty of [false, true]) {
    const launch = await bed.bundle({ args: ['/no/such/program'], tty });
    await assert.rejects(bed.runtime.create(launch), {
      kind: 'internal',
      message: new RegExp(
        `^create container ${launch.id}: c?runc? create: .*/no/such/program.*[nN]o such file`,
      ),
    });
    await assertNothingLeft(bed, launch);
  }
});

test('an abort in create leaves nothing', async (t) => {
  const bed = await makeRuntimeBed(t);
  for (const afterMs of [0, 3, 10, 20, 30, 60]) {
    const launch = await bed.bundle({ args: ['sleep', '1000'] });
    const controller = new AbortController();
    const created = bed.runtime.create(launch, { signal: controller.signal });
    setTimeout(() => controller.abort(), afterMs);
    const outcome = await created.catch((error: unknown) => error);
    if (outcome instanceof Error) {
      assert.equal('kind' in outcome && outcome.kind, 'canceled', String(outcome));
    } else {
      await bed.runtime.killAll(bed.handler, launch.id);
      await bed.runtime.delete(bed.handler, launch.id);
    }
    await assertNothingLeft(bed, launch);
  }
});

test('a log path that conmon would cut, and a bad id, are refused before anything happens', async (t) => {
  const bed = await makeRuntimeBed(t);
  const launch = await bed.bundle({ args: ['true'] });
  const invalid = { kind: 'invalid-argument' };
  await assert.rejects(bed.runtime.create({ ...launch, logPath: '/tmp/a:b.log' }), invalid);
  await assert.rejects(bed.runtime.create({ ...launch, id: '../x' }), invalid);
  await assertNothingLeft(bed, launch);
});

for (const tty of [false, true]) {
  test(`a rotated log is opened anew without a line lost (${tty ? 'tty' : 'pipes'})`, async (t) => {
    const bed = await makeRuntimeBed(t);
    const script =
      'i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; busybox usleep 2000; done';
    const launch = await bed.bundle({ args: ['sh', '-c', script], tty });
    const { monitor } = await bed.runtime.create(launch);
    await bed.runtime.start(bed.handler, launch.id);
    const files: string[] = [];
    for (const n of [1, 2, 3]) {
      await until(t, async () => (await logLines(launch.logPath)).length > 20);
      // Not moved away: the lines must stay where they are.
      const { ino } = await stat(launch.logPath);
      await bed.runtime.reopenLog(launch.bundleDir, launch.logPath);
      assert.equal((await stat(launch.logPath)).ino, ino);

      files.push(`${launch.logPath}.${n}`);
      await rename(launch.logPath, `${launch.logPath}.${n}`);
      await bed.runtime.reopenLog(launch.bundleDir, launch.logPath);
      assert.equal((await stat(launch.logPath)).mode & 0o777, 0o640);
    }
    await waitForExit(monitor, { signal: t.signal });
    const lines = (await Promise.all([...files, launch.logPath].map(logLines))).flat();
    // A tty may hand over a line in parts (P), which readers join.
    const text = lines.map((line) => {
      const [, , tag, words = ''] = /^\S+ (\S+) ([PF]) (.*)$/s.exec(line) ?? [];
      return tag === 'P' ? words : `${words}\n`;
    });
    const numbers = text.join('').replaceAll('\r', '').split('\n');
    const expected = Array.from({ length: 400 }, (_, i) => `line ${i + 1}`);
    assert.deepEqual(numbers, [...expected, '']);
    await assert.rejects(bed.runtime.reopenLog(launch.bundleDir, launch.logPath), {
      kind: 'failed-precondition',
      message: /reopen log .*: the container is not running/,
    });
  });
}

test('a container without a log runs', async (t) => {
  const bed = await makeRuntimeBed(t);
  const { logPath, ...launch } = await bed.bundle({ args: ['echo', 'unheard'] });
  const { monitor } = await bed.runtime.create(launch);
  await bed.runtime.start(bed.handler, launch.id);
  await waitForExit(monitor, { signal: t.signal });
  assert.equal((await bed.runtime.exitOf(launch.id, launch.bundleDir))?.exitCode, 0);
  await assert.rejects(access(logPath));
});

test('a container that runs out of memory is told as such', async (t) => {
  const bed = await makeRuntimeBed(t);
  const launch = await bed.bundle({ args: ['tail', '/dev/zero'], memoryBytes: 16 << 20 });
  const { monitor } = await bed.runtime.create(launch);
  await bed.runtime.start(bed.handler, launch.id);
  await waitForExit(monitor, { signal: t.signal });
  const exit = await bed.runtime.exitOf(launch.id, launch.bundleDir);
  assert.deepEqual([exit?.exitCode, exit?.oomKilled], [137, true]);
});

test('conmon stands alone: own session, no descriptors and no environment of ours', async (t) => {
  const bed = await makeRuntimeBed(t);
  process.env['GANTRY_TEST_SECRET'] = 'x';
  t.after(() => delete process.env['GANTRY_TEST_SECRET']);
  const launch = await bed.bundle({ args: ['sleep', '1000'] });
  const { monitor, init } = await bed.runtime.create(launch);
  const env = await readFile(`/proc/${monitor.pid}/environ`, 'utf8');
  assert.deepEqual(
    env
      .split('\0')
      .filter((entry) => entry !== '')
      .map((entry) => entry.split('=')[0]),
    ['PATH', '_OCI_SYNCPIPE'],
  );
  const fields = (await readFile(`/proc/${monitor.pid}/stat`, 'utf8'))
    .replace(/^.*\) /, '')
    .split(' ');
  const [, parent, group, session] = fields;
  assert.notEqual(Number(parent), process.pid);
  assert.equal(Number(group), monitor.pid);
  assert.equal(Number(session), monitor.pid);
  assert.deepEqual(await identifyProcess(init.pid), init);
});

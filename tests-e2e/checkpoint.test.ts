/*
 * Checkpoints by CRIU, where that is installed and works on this kernel; where
 * not, the errors that say so, which a stand-in for CRIU gives everywhere.
 */
import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { findTool, run } from '@gantry/host';
import { hostOf, leaks } from './harness/host.ts';
import {
  ContainerState,
  logPathOf,
  podConfig,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { runDir } from './harness/run-dir.ts';
import { startStack } from './harness/stack.ts';
import { stackForTests } from './harness/stack-for-tests.ts';
import { until } from './harness/until.ts';

const criuWorks = findTool('criu') !== undefined && (await run('criu', ['check'])).exitCode === 0;
const skip = criuWorks ? false : 'no criu that works on this kernel';

const stack = await stackForTests();

const textOf = (path: string) => readFile(path, 'utf8').catch(() => '');
/** Counts by the tenth of a second; what it has counted lies in its root as well. */
const counter = shellContainer(
  'counter',
  'echo kept > /note; rm -f /www/index.html; i=0; while :; do i=$((i+1)); echo n-$i; sleep 0.1; done',
);
const numbersIn = (log: string) =>
  [...log.matchAll(/ n-(\d+)$/gm)].map((match) => Number(match[1]));

test('a container is written to an archive and runs on; another one goes on from there', {
  skip,
}, async () => {
  const clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'original'));
  const containerId = await startContainer(stack, pod, counter);
  await until(
    'it counts',
    () => textOf(logPathOf(pod, counter)),
    (log) => numbersIn(log).length > 5,
  );
  const location = join(stack.dir, 'counter.tar');
  await stack.runtime.checkpointContainer({ containerId, location, timeout: 60n });
  const before = Math.max(...numbersIn(await textOf(logPathOf(pod, counter))));
  await until(
    'it counts on',
    () => textOf(logPathOf(pod, counter)),
    (log) => Math.max(...numbersIn(log)) > before + 3,
  );
  const { status } = await stack.runtime.containerStatus({ containerId });
  assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
  assert.equal((await stat(location)).mode & 0o777, 0o600);
  const list = (await run('tar', ['-tf', location])).stdout.toString();
  for (const name of [
    'config.dump',
    'spec.dump',
    'status.dump',
    'rootfs-diff.tar',
    'container.log',
    'dump.log',
  ]) {
    assert.match(list, new RegExp(`^\\./${name}$`, 'm'));
  }
  assert.match(list, /^\.\/checkpoint\/inventory\.img$/m);
  assert.deepEqual(await readdir(join(stack.rootDir, 'sandbox', 'checkpoints')), []);
  await removePod(stack, pod.podSandboxId);

  const other = await runPod(stack, podConfig(stack, 'restored'));
  const config = { ...counter, image: { image: location } };
  const restored = await startContainer(stack, other, config as typeof counter);
  const log = await until(
    'it counts from there',
    () => textOf(logPathOf(other, counter)),
    (text) => numbersIn(text).length > 3,
  );
  const [first = 0] = numbersIn(log);
  assert.ok(
    first > 5 && first <= before + 1,
    `goes on with ${String(first)} after ${String(before)}`,
  );
  const { exitCode, stdout } = await stack.runtime.execSync({
    containerId: restored,
    cmd: ['sh', '-c', 'cat /note; ls /www'],
  });
  assert.deepEqual([exitCode, Buffer.from(stdout).toString()], [0, 'kept\n']);
  const { info, status: now } = await stack.runtime.containerStatus({
    containerId: restored,
    verbose: true,
  });
  assert.equal((JSON.parse(info['info'] ?? '{}') as { restored: boolean }).restored, true);
  assert.equal(now?.image?.image, 'localhost/e2e/busybox:1');
  await stack.runtime.stopContainer({ containerId: restored, timeout: 0n });
  const ended = await stack.runtime.containerStatus({ containerId: restored });
  assert.equal(ended.status?.exitCode, 137);
  await removePod(stack, other.podSandboxId);
  assert.deepEqual(await readdir(join(stack.rootDir, 'sandbox', 'checkpoints')), []);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('only a running container can be saved, and only to a clean absolute path', async () => {
  const pod = await runPod(stack, podConfig(stack, 'refused'));
  const containerId = await startContainer(stack, pod, counter);
  for (const location of ['', 'relative.tar', '/tmp/../etc/x.tar']) {
    await assert.rejects(
      stack.runtime.checkpointContainer({ containerId, location }),
      { kind: 'invalid-argument', message: /location/ },
      location,
    );
  }
  await stack.runtime.stopContainer({ containerId, timeout: 0n });
  await assert.rejects(
    stack.runtime.checkpointContainer({ containerId, location: join(stack.dir, 'x.tar') }),
    { kind: 'failed-precondition', message: /it is exited, not running/ },
  );
  await assert.rejects(
    stack.runtime.checkpointContainer({ containerId: 'f'.repeat(64), location: '/x.tar' }),
    { kind: 'not-found' },
  );
  await removePod(stack, pod.podSandboxId);
});

test('what is no checkpoint, or not of root, is refused at create, and nothing stays', async () => {
  const clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'fooled'));
  const dir = join(stack.dir, 'archives');
  await mkdir(join(dir, 'content', 'checkpoint'), { recursive: true });
  const pack = async (name: string) => {
    const file = join(dir, name);
    const result = await run('tar', ['-cf', file, '-C', join(dir, 'content'), '.']);
    assert.equal(result.exitCode, 0);
    return file;
  };
  await writeFile(join(dir, 'garbage.tar'), 'x'.repeat(5000));
  const empty = await pack('empty.tar');
  await symlink('/etc/passwd', join(dir, 'content', 'config.dump'));
  const linked = await pack('linked.tar');
  await run('rm', [join(dir, 'content', 'config.dump')]);
  await writeFile(join(dir, 'content', 'config.dump'), '{"rootfsImageName": "localhost/gone:1"}');
  const imageless = await pack('imageless.tar');
  const open = await pack('open.tar');
  await chmod(open, 0o666);
  for (const [image, kind, message] of [
    [join(dir, 'garbage.tar'), 'invalid-argument', /is no checkpoint/],
    [empty, 'invalid-argument', /is no checkpoint/],
    [linked, 'invalid-argument', /not a small plain file/],
    [open, 'invalid-argument', /nobody else can write/],
    [join(dir, 'none.tar'), 'not-found', /not there/],
    [imageless, 'not-found', /localhost\/gone:1/],
    [dir, 'invalid-argument', /must be a file/],
  ] as const) {
    await assert.rejects(
      stack.runtime.createContainer({
        podSandboxId: pod.podSandboxId,
        config: { ...counter, image: { image } } as typeof counter,
        sandboxConfig: pod.config,
      }),
      (error: Error & { kind?: string }) => {
        assert.equal(error.kind, kind, `${image}: ${error.message}`);
        assert.match(error.message, message);
        return true;
      },
    );
  }
  assert.deepEqual(
    await readdir(join(stack.rootDir, 'sandbox', 'checkpoints')).catch(() => []),
    [],
  );
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('where CRIU is missing or can not work, the error says which, and the container runs on', async () => {
  const fake = join(runDir(), `fake-criu-${String(process.pid)}`);
  await mkdir(fake);
  await writeFile(
    join(fake, 'criu'),
    '#!/bin/sh\necho "Error (criu/vdso.c:651): vdso: Unexpected rt vDSO area bounds" >&2\nexit 1\n',
  );
  await chmod(join(fake, 'criu'), 0o755);
  const withoutCriu = (process.env['PATH'] ?? '')
    .split(':')
    .filter((dir) => findTool(join(dir, 'criu')) === undefined)
    .join(':');
  for (const [path, message] of [
    [
      `${fake}:${process.env['PATH'] ?? ''}`,
      /criu can't work on this host: vdso: Unexpected rt vDSO/,
    ],
    [withoutCriu, /criu.*install Debian package criu/],
  ] as const) {
    await using other = await startStack({ environment: { PATH: path } });
    const pod = await runPod(other, podConfig(other, 'unsaved'));
    const containerId = await startContainer(other, pod, counter);
    const location = join(other.dir, 'x.tar');
    await assert.rejects(other.runtime.checkpointContainer({ containerId, location }), {
      kind: 'failed-precondition',
      message,
    });
    await assert.rejects(stat(location), { code: 'ENOENT' });
    const numbers = async () => numbersIn(await textOf(logPathOf(pod, counter))).length;
    const before = await numbers();
    await until('it counts on', numbers, (count) => count > before + 2);
    await removePod(other, pod.podSandboxId);
  }
});

test('pods are not checkpointed as a whole, as with the peers', async () => {
  await assert.rejects(stack.runtime.checkpointPod({ podSandboxId: 'x' }), {
    kind: 'unimplemented',
  });
  await assert.rejects(stack.runtime.restorePod({ checkpointPath: '/x' }), {
    kind: 'unimplemented',
  });
});

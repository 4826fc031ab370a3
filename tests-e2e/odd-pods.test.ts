import assert from 'node:assert/strict';
import { mkdir, readFile, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { cgroupDirectory, detectCgroups, mountTmpfs, removeCgroup, unmount } from '@gantry/host';
import { NamespaceMode } from '@gantry/proto';
import { hostOf, leaks } from './harness/host.ts';
import {
  ContainerState,
  logPathOf,
  type PodConfig,
  podConfig,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { killServices, untilAllAnswer } from './harness/services.ts';
import { stackForTests } from './harness/stack-for-tests.ts';
import { until } from './harness/until.ts';

// Pods whose programs, disks and moments are not what anyone would wish for.

const stack = await stackForTests();

const statusOf = async (containerId: string) =>
  (await stack.runtime.containerStatus({ containerId })).status ?? assert.fail('no status');
const ended = (containerId: string) =>
  until(
    'its end',
    () => statusOf(containerId),
    (status) => status.state === ContainerState.CONTAINER_EXITED,
  );
const wordsOf = async (containerId: string, script: string) => {
  const answer = await stack.runtime.execSync({ containerId, cmd: ['sh', '-c', script] });
  return Buffer.from(answer.stdout).toString().trim();
};
const textOf = (path: string) => readFile(path, 'utf8').catch(() => '');

test('a full disk of logs holds no container up, and the log goes on when there is room', async () => {
  const logDirectory = join(stack.dir, 'small-logs');
  await mkdir(logDirectory);
  await mountTmpfs({ target: logDirectory, sizeBytes: 64 << 10, mode: 0o755 });
  try {
    const pod = await runPod(stack, podConfig(stack, 'chatty', { logDirectory }));
    const config = shellContainer(
      'c',
      'head -c 500000 /dev/zero | tr "\\0" "a"; touch /wrote; until [ -e /go ]; do busybox usleep 10000; done; echo; echo last; exit 4',
    );
    const containerId = await startContainer(stack, pod, config);
    const wrote = () => wordsOf(containerId, '[ -e /wrote ] && echo yes');
    await until('all is written', wrote, (word) => word === 'yes');
    assert.equal((await stat(logPathOf(pod, config))).size, 64 << 10);

    await truncate(logPathOf(pod, config));
    await wordsOf(containerId, 'touch /go');

    const { exitCode } = await ended(containerId);
    assert.equal(exitCode, 4);
    assert.match(await textOf(logPathOf(pod, config)), / stdout F last\n$/);
    await removePod(stack, pod.podSandboxId);
  } finally {
    await unmount(logDirectory, { detach: true });
  }
});

test('the log directory may lie behind a link of the host', async () => {
  const real = join(stack.dir, 'data-disk');
  await mkdir(real);
  await symlink(real, join(stack.dir, 'linked-logs'));
  const logDirectory = join(stack.dir, 'linked-logs', 'pod');
  const pod = await runPod(stack, podConfig(stack, 'linked', { logDirectory }));
  const containerId = await startContainer(stack, pod, shellContainer('c', 'echo here'));
  await ended(containerId);
  assert.match(await textOf(join(real, 'pod', 'c.log')), / here\n$/);
  await removePod(stack, pod.podSandboxId);
});

test('an exec is allowed in the grace of a stop, and ends with the container', async () => {
  const pod = await runPod(stack, podConfig(stack, 'grace'));
  const config = shellContainer(
    'c',
    'trap "echo told" TERM; echo up; while :; do busybox usleep 10000; done',
  );
  const containerId = await startContainer(stack, pod, config);
  const log = () => textOf(logPathOf(pod, config));
  await until('its trap', log, (text) => text.includes(' up'));
  const stopping = stack.runtime.stopContainer({ containerId, timeout: 1000n });
  await until('the signal', log, (text) => text.includes(' told'));

  assert.equal(await wordsOf(containerId, 'echo during'), 'during');
  const long = stack.runtime.execSync({ containerId, cmd: ['sleep', '1000'] });
  await until(
    'the exec',
    () => wordsOf(containerId, 'ps -o args'),
    (words) => words.split('\n').includes('sleep 1000'),
  );
  await stack.runtime.stopContainer({ containerId, timeout: 0n });
  await stopping;
  assert.equal((await long).exitCode, 137);
  await removePod(stack, pod.podSandboxId);
});

test('orphans are reaped in a pod that shares its processes', async () => {
  const securityContext = { namespaceOptions: { pid: NamespaceMode.POD } };
  const linux = { securityContext } as PodConfig['linux'];
  const pod = await runPod(stack, podConfig(stack, 'orphans', { linux }));
  const script =
    'for i in 1 2 3 4 5; do sh -c "busybox usleep 50000 &"; done; echo left; exec sleep 1000';
  const config = shellContainer('c', script, {
    linux: { securityContext },
  } as Parameters<typeof shellContainer>[2]);
  const containerId = await startContainer(stack, pod, config);
  await until(
    'they are orphans',
    () => textOf(logPathOf(pod, config)),
    (text) => text.includes(' left'),
  );
  await until(
    'nobody is left',
    () =>
      wordsOf(containerId, 'ps -o stat,args | grep -c "usleep\\|^Z"; ps | head -n 2 | tail -n 1'),
    (words) => /^[01]\n\s+1 .*pause/.test(words),
  );
  await removePod(stack, pod.podSandboxId);
});

test('forks without end stop at the limit of the pod, and none is left when their container has ended', async (t) => {
  const directory = cgroupDirectory(await detectCgroups(), 'pids', '/');
  if (directory === undefined) {
    t.skip('no pids controller');
    return;
  }
  const clean = await hostOf(stack);
  const cgroupParent = `${stack.cgroupParent}/forks`;
  await mkdir(join(directory, cgroupParent), { recursive: true });
  await writeFile(join(directory, cgroupParent, 'pids.max'), '60');
  try {
    const pod = await runPod(
      stack,
      podConfig(stack, 'forks', { linux: { cgroupParent } as PodConfig['linux'] }),
    );
    const config = shellContainer('c', 'while :; do sleep 1000 & done');
    const containerId = await startContainer(stack, pod, config);
    // A shell that can not fork gives up, and leaves the others to us.
    const { exitCode } = await ended(containerId);
    assert.notEqual(exitCode, 0);
    assert.match(await textOf(logPathOf(pod, config)), /can't fork/);
    const current = join(directory, cgroupParent, 'pids.current');
    await until(
      'only the pause process is left',
      () => readFile(current, 'utf8'),
      (text) => Number(text) <= 1,
    );
    await removePod(stack, pod.podSandboxId);
  } finally {
    await removeCgroup(cgroupParent);
  }
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('NATS dies while a container is started: it is running or created still, and can be started then', async () => {
  const clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'cut-off'));
  for (const afterMs of [5, 40, 100]) {
    const name = `c${String(afterMs)}`;
    const { containerId } = await stack.runtime.createContainer({
      podSandboxId: pod.podSandboxId,
      config: shellContainer(name, 'exec sleep 1000'),
      sandboxConfig: pod.config,
    });
    const started = stack.runtime.startContainer({ containerId }).then(
      () => 'started',
      (error: { kind?: string }) => error.kind,
    );
    await delay(afterMs);
    killServices(stack, 'nats-server');
    const outcome = await started;
    assert.ok(outcome === 'started' || outcome === 'unavailable', String(outcome));
    await untilAllAnswer(stack);
    // The work of a caller that is gone is undone, or done: in the end it is one of both.
    await until(
      'it can be started, or runs',
      async () => {
        const again = await stack.runtime.startContainer({ containerId }).then(
          () => 'started',
          (error: { kind?: string }) => error.kind,
        );
        return { again, state: (await statusOf(containerId)).state };
      },
      ({ again, state }) =>
        (again === 'started' || again === 'failed-precondition') &&
        state === ContainerState.CONTAINER_RUNNING,
    );
    assert.equal(await wordsOf(containerId, 'echo in'), 'in');
  }
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

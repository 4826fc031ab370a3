import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { run } from '@gantry/host';
import { ContainerState } from '@gantry/proto';
import { hostOf, leaks } from './harness/host.ts';
import { importImage } from './harness/image.ts';
import {
  logPathOf,
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { stackForTests } from './harness/stack-for-tests.ts';
import { until } from './harness/until.ts';

// What a tenant of the cluster, or the maker of an image, may try. Image volumes and VOLUMEs: isolation-images.test.ts.

const stack = await stackForTests();

async function withPod(name: string, use: (pod: RunningPod) => Promise<void>): Promise<void> {
  const clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, name));
  try {
    await use(pod);
  } finally {
    await removePod(stack, pod.podSandboxId);
  }
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
}

function asNobody(...command: string[]) {
  return run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', ...command]);
}

async function stateOf(containerId: string): Promise<ContainerState | undefined> {
  return (await stack.runtime.containerStatus({ containerId })).status?.state;
}

test('annotations and labels of a megabyte are kept and given back', async () => {
  const large = { large: 'l'.repeat(1 << 20) };
  const clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'large', { annotations: large, labels: large }));
  const config = shellContainer('c', 'exec sleep 1000', { annotations: large, labels: large });
  const containerId = await startContainer(stack, pod, config);
  const { status } = await stack.runtime.containerStatus({ containerId });
  assert.deepEqual([status?.annotations, status?.labels], [large, large]);
  const { items } = await stack.runtime.listPodSandbox({});
  assert.deepEqual(items[0]?.annotations, large);
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('a link in the log directory does not lead the log to files of the host', () =>
  withPod('loglink', async (pod) => {
    const directory = String(pod.config.logDirectory);
    const victim = join(stack.dir, 'victim');
    const outside = join(stack.dir, 'outside');
    await writeFile(victim, 'precious\n');
    await mkdir(outside);
    await symlink(victim, join(directory, 'file.log'));
    await symlink(outside, join(directory, 'directory'));
    for (const logPath of ['file.log', 'directory/0.log']) {
      await assert.rejects(
        stack.runtime.createContainer({
          podSandboxId: pod.podSandboxId,
          config: shellContainer('c', 'echo written', { logPath }),
        }),
        { kind: 'invalid-argument', message: /log_path.*symbolic link/ },
        logPath,
      );
    }
    // One that comes between the two calls.
    const config = shellContainer('late', 'echo written');
    const { containerId } = await stack.runtime.createContainer({
      podSandboxId: pod.podSandboxId,
      config,
    });
    await symlink(victim, logPathOf(pod, config));
    await assert.rejects(stack.runtime.startContainer({ containerId }), { message: /late\.log/ });
    assert.equal(await readFile(victim, 'utf8'), 'precious\n');
    assert.deepEqual(await readdir(outside), []);
  }));

test('a rotated log is not reopened through a link', () =>
  withPod('logtmp', async (pod) => {
    const victim = join(stack.dir, 'victim-2');
    await writeFile(victim, 'precious\n');
    const config = shellContainer('c', 'while :; do echo tick; sleep 0.1; done');
    const containerId = await startContainer(stack, pod, config);
    const log = logPathOf(pod, config);
    await symlink(victim, `${log}.tmp`);
    await run('mv', [log, `${log}.1`]);
    await assert.rejects(stack.runtime.reopenContainerLog({ containerId }), {
      kind: 'failed-precondition',
      message: /symbolic link/,
    });
    assert.equal(await readFile(victim, 'utf8'), 'precious\n');
  }));

test('no link in an image leads a mount, a user or a working directory to files of the host', async () => {
  const secret = join(stack.dir, 'secret');
  await mkdir(secret);
  await writeFile(join(secret, 'passwd'), 'hostonly:x:4242:4242::/:/bin/sh\n');
  const up = '../'.repeat(20);
  const image = await importImage(stack, {
    name: 'links',
    onBusybox: true,
    layers: [
      [
        { type: 'symlink', path: 'data', target: `${up}${secret}` },
        { type: 'file', path: 'etc/.wh.passwd', content: '' },
      ],
      [{ type: 'symlink', path: 'etc/passwd', target: `${up}${secret}/passwd` }],
    ],
    config: { Cmd: ['/bin/sh'], WorkingDir: '/data' },
  });
  await withPod('links', async (pod) => {
    const before = await readdir(secret);
    await assert.rejects(
      stack.runtime.createContainer({
        podSandboxId: pod.podSandboxId,
        config: shellContainer('user', 'id', {
          image: { image: image.name },
          linux: { securityContext: { runAsUsername: 'hostonly' } },
        } as object),
      }),
      { kind: 'invalid-argument', message: /hostonly/ },
    );
    const source = join(stack.dir, 'source');
    await mkdir(source);
    await writeFile(join(source, 'of-mount'), '');
    const config = shellContainer('mount', 'ls /data/; pwd; exec sleep 1000', {
      image: { image: image.name },
      mounts: [{ containerPath: '/data/below', hostPath: source }],
    } as object);
    // A runtime may refuse it, or make the path inside the image; the host's directory stays as it is.
    const { containerId } = await stack.runtime.createContainer({
      podSandboxId: pod.podSandboxId,
      config,
    });
    await stack.runtime.startContainer({ containerId }).catch(() => undefined);
    assert.deepEqual(await readdir(secret), before);
    const log = await readFile(logPathOf(pod, config), 'utf8').catch(() => '');
    assert.doesNotMatch(log, / passwd$/m);
  });
});

for (const User of ['2147483648', '4294967296', '0:4294967296', '-1']) {
  test(`an image whose USER is ${User} does not run as root or at all`, () =>
    withPod('overflow', async (pod) => {
      const { name } = await importImage(stack, {
        name: `user${User.replace(':', '-')}`,
        onBusybox: true,
        layers: [],
        config: { Cmd: ['/bin/sh'], User },
      });
      await assert.rejects(
        stack.runtime.createContainer({
          podSandboxId: pod.podSandboxId,
          config: shellContainer('c', 'id', { image: { image: name } } as object),
        }),
        { kind: 'invalid-argument', message: new RegExp(User.split(':').at(-1) ?? '') },
      );
    }));
}

test('no other user of the host comes by the files of containers, images and services', () =>
  withPod('lax', async (pod) => {
    const { name } = await importImage(stack, {
      name: 'volumes',
      onBusybox: true,
      layers: [[{ type: 'directory', path: 'vol', mode: 0o777 }]],
      config: { Cmd: ['/bin/sh'], Volumes: { '/vol': {} } },
    });
    const containerId = await startContainer(
      stack,
      pod,
      shellContainer('c', 'exec sleep 1000', {
        image: { image: name },
        mounts: [{ containerPath: '/image', readonly: true, image: { image: name } }],
      } as object),
    );
    // The directory of the run is closed itself: opened here, as /var/lib and /run are.
    await run('chmod', ['0755', dirname(stack.dir), stack.dir]);
    const { stdout } = await asNobody(
      ...['find', stack.rootDir, stack.stateDir, '-mindepth', '1', '-not', '-type', 'l'],
      ...['(', '-readable', '-o', '-writable', '-o', '-perm', '/6000', ')'],
    );
    assert.equal(stdout.toString(), '');
    // Mount tables tell everyone where the roots and their layers are; other places have the id in their names.
    const table = await readFile('/proc/self/mountinfo', 'utf8');
    const isOurs = (path: string): boolean =>
      path.startsWith(`${stack.rootDir}/`) || path.startsWith(`${stack.stateDir}/`);
    const named = await run('find', [
      ...[stack.rootDir, stack.stateDir, '-type', 'd', '-name', `${containerId}*`],
    ]);
    const paths = [
      ...new Set(table.split(/[ \n,:=]/).filter(isOurs)),
      ...named.stdout.toString().trim().split('\n'),
    ];
    for (const [what, end] of [
      ['a root', `/containers/${containerId}/rootfs`],
      ['a volume', `/volumes/${containerId}`],
      ['an image volume', `/${containerId}.images`],
    ]) {
      assert.ok(
        paths.some((path) => path.endsWith(String(end))),
        what,
      );
    }
    const entered: string[] = [];
    for (const path of paths) {
      if ((await asNobody('test', '-x', `${path}/.`)).exitCode === 0) {
        entered.push(path);
      }
    }
    assert.deepEqual(entered, []);
    assert.equal((await stat(stack.socket)).mode & 0o007, 0);
  }));

for (const timeout of [2n ** 22n, 2n ** 40n, 2n ** 63n - 1n]) {
  test(`a grace of ${timeout} seconds does not end at once`, () =>
    withPod('grace', async (pod) => {
      const script = "trap 'echo told' TERM; echo ready; while :; do sleep 0.1; done";
      const config = shellContainer('c', script);
      const containerId = await startContainer(stack, pod, config);
      const logged = (word: string) =>
        until(
          word,
          () => readFile(logPathOf(pod, config), 'utf8').catch(() => ''),
          (log) => log.includes(word),
        );
      await logged('ready');
      const caller = new AbortController();
      const stopped = stack.runtime.stopContainer(
        { containerId, timeout },
        { signal: caller.signal },
      );
      const failed = assert.rejects(stopped);
      await logged('told');
      caller.abort();
      await failed;
      assert.equal(await stateOf(containerId), ContainerState.CONTAINER_RUNNING);
    }));
}

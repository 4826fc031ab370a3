import assert from 'node:assert/strict';
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { NamespaceMode, PodSandboxState } from '@gantry/proto';
import { hostOf, leaks } from './harness/host.ts';
import { textOfLog } from './harness/log-text.ts';
import {
  type ContainerConfig,
  ContainerState,
  logPathOf,
  type PodConfig,
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { busyboxImage, type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

// What a kubelet relies on and no RPC's own test asks for: files, environment, defaults, logs, ids, times.

let stack: Stack;
let pod: RunningPod;
before(async () => {
  stack = await startStack();
  pod = await runPod(
    stack,
    podConfig(stack, 'contract', {
      hostname: 'web-0',
      dnsConfig: {
        servers: ['10.0.0.10'],
        searches: ['a.svc', 'b.svc'],
        options: ['ndots:5'],
      } as PodConfig['dnsConfig'],
    }),
  );
});
after(async () => {
  await removePod(stack, pod.podSandboxId);
  await stack[Symbol.asyncDispose]();
});

type Fields = Readonly<Partial<Record<keyof ContainerConfig, unknown>>>;
const container = (name: string, script: string, more: Fields = {}): ContainerConfig =>
  shellContainer(name, script, more as Partial<ContainerConfig>);
const statusOf = async (containerId: string) => {
  const { status } = await stack.runtime.containerStatus({ containerId });
  assert.ok(status);
  return status;
};
const ended = (containerId: string) =>
  until(
    'its end',
    () => statusOf(containerId),
    (s) => s.state === ContainerState.CONTAINER_EXITED,
  );

/** What a container logs, without times and marks, once it has ended; it is removed. */
async function outputOf(config: ContainerConfig, where = pod): Promise<string> {
  const containerId = await startContainer(stack, where, config);
  await ended(containerId);
  const log = await readFile(logPathOf(where, config), 'utf8');
  await stack.runtime.removeContainer({ containerId });
  return textOfLog(log);
}

test('hostname, hosts and resolv.conf are as the pod says, and a mount of the request goes before them', async () => {
  const script =
    'cat /etc/hostname; hostname; echo $HOSTNAME; cat /etc/resolv.conf; cat /etc/hosts';
  const words = await outputOf(container('files', script));
  const hosts = await readFile('/etc/hosts', 'utf8');
  assert.equal(
    words.trimEnd(),
    `web-0\nweb-0\nweb-0\nsearch a.svc b.svc\nnameserver 10.0.0.10\noptions ndots:5\n${hosts}`.trimEnd(),
  );
  const own = join(stack.dir, 'own-hosts');
  await writeFile(own, '127.0.0.1 kubelet\n');
  const mounts = [{ hostPath: own, containerPath: '/etc/hosts' }];
  assert.equal(
    await outputOf(container('hosts', 'cat /etc/hosts', { mounts })),
    '127.0.0.1 kubelet\n',
  );
});

test('on the network of the host a container has its name', async () => {
  const config = podConfig(stack, 'onhost', {
    hostname: 'ignored',
    linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
  } as Partial<PodConfig>);
  const onHost = await runPod(stack, config);
  try {
    const options = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER };
    const linux = { securityContext: { namespaceOptions: options } };
    const words = await outputOf(container('name', 'hostname; echo $HOSTNAME', { linux }), onHost);
    assert.equal(words, `${hostname()}\n${hostname()}\n`);
  } finally {
    await removePod(stack, onHost.podSandboxId);
  }
});

test('/dev/shm is the pod’s: 64 MiB, for all, the same in each container', async () => {
  const script =
    'df -k /dev/shm | tail -1 | awk "{print \\$2}"; stat -c %a /dev/shm; echo here > /dev/shm/file';
  assert.equal(await outputOf(container('shm', script)), '65536\n1777\n');
  assert.equal(await outputOf(container('shm2', 'cat /dev/shm/file')), 'here\n');
});

test('the environment is the image’s, then the request’s, with a PATH where nobody gives one', async () => {
  const envs = [
    { key: 'A', value: Buffer.from('1') },
    { key: 'EMPTY', value: new Uint8Array() },
    { key: 'A', value: Buffer.from('2') },
  ];
  const words = await outputOf(
    container('env', 'env | grep -E "^(A|EMPTY|PATH)=" | sort', { envs }),
  );
  assert.match(words, /^A=2\nEMPTY=\nPATH=\/\S+\n$/);
});

test('a directory that is missing on the host is made, a link followed, and the request is shown as it was', async () => {
  const [missing, real, link] = ['missing/deep', 'real', 'link'].map((n) => join(stack.dir, n));
  assert.ok(missing && real && link);
  await mkdir(real);
  await writeFile(join(real, 'file'), 'through the link');
  await symlink(real, link);
  const mounts = [
    { hostPath: missing, containerPath: '/m/1' },
    { hostPath: link, containerPath: '/m/2', readonly: true },
  ];
  const config = container(
    'mounts',
    'cat /m/2/file; echo x > /m/1/new; echo y > /m/2/new || exit 3',
    { mounts },
  );
  const id = await startContainer(stack, pod, config);
  const status = await ended(id);
  assert.equal(status.exitCode, 3);
  assert.deepEqual(
    status.mounts.map(({ hostPath, containerPath, readonly }) => [
      hostPath,
      containerPath,
      readonly,
    ]),
    [
      [missing, '/m/1', false],
      [link, '/m/2', true],
    ],
  );
  assert.equal((await stat(missing)).mode & 0o777, 0o755);
  assert.equal(await readFile(join(missing, 'new'), 'utf8'), 'x\n');
  await stack.runtime.removeContainer({ containerId: id });
});

// 14 capabilities: the list of cri-semantics 2.12.
test('a container has the default capabilities, and what is added and dropped', async () => {
  const script = 'grep -E "^Cap(Prm|Eff|Bnd|Inh|Amb)" /proc/self/status | tr "\\t" " "; ulimit -n';
  const plain = await outputOf(container('caps', script));
  assert.equal(
    plain.replace(/\n\d+\n$/, ''),
    'CapInh: 0000000000000000\nCapPrm: 00000000a80425fb\nCapEff: 00000000a80425fb\nCapBnd: 00000000a80425fb\nCapAmb: 0000000000000000',
  );
  const capabilities = { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['ALL'] };
  const linux = { securityContext: { capabilities } };
  assert.match(await outputOf(container('one', script, { linux })), /CapBnd: 0000000000001000/);
});

test('ports below 1024 and ping are open to every user, as sysctls of the pod', async () => {
  const script =
    'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range | tr "\\t" " "';
  assert.equal(await outputOf(container('sysctl', script)), '0\n0 2147483647\n');
});

test('a long line is written in parts, a last one without an end too, and both outputs keep their names', async () => {
  const script =
    'head -c 20000 /dev/zero | tr "\\0" a; echo; echo err >&2; busybox usleep 50000; printf tail';
  const config = container('long', script);
  const id = await startContainer(stack, pod, config);
  await ended(id);
  const log = (await readFile(logPathOf(pod, config), 'utf8')).split('\n');
  assert.equal(log.pop(), '');
  const lines = log.map(
    (line) => /^(\S+) (stdout|stderr) ([FP]) (.*)$/s.exec(line) ?? assert.fail(line),
  );
  const out = lines.filter(([, , stream]) => stream === 'stdout');
  const last = out.findIndex(([, , , mark]) => mark === 'F');
  const first = out.slice(0, last + 1);
  assert.ok(first.length >= 3, `${first.length} parts`);
  assert.ok(first.every(([, , , , text = '']) => text.length <= 8192));
  assert.equal(first.map(([, , , , text]) => text).join(''), 'a'.repeat(20_000));
  assert.deepEqual(
    out.slice(last + 1).map(([, , , mark, text]) => [mark, text]),
    [['P', 'tail']],
  );
  assert.deepEqual(
    lines.filter(([, , stream]) => stream === 'stderr').map(([, , , mark, text]) => [mark, text]),
    [['F', 'err']],
  );
  for (const [, time = ''] of lines) {
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(Z|[+-]\d\d:\d\d)$/);
  }
  const { mode } = await stat(logPathOf(pod, config));
  assert.equal(mode & 0o777, 0o640);
  await stack.runtime.removeContainer({ containerId: id });
});

test('without a log path nothing is kept, and the container is not held up by what it writes', async () => {
  const config = container('mute', 'head -c 1000000 /dev/zero; exit 4', { logPath: '' });
  const id = await startContainer(stack, pod, config);
  const status = await ended(id);
  assert.deepEqual([status.exitCode, status.logPath], [4, '']);
  await stack.runtime.removeContainer({ containerId: id });
});

test('an image has one id in every answer, and a container can be made of its name, digest and id', async () => {
  const { image } = await stack.images.imageStatus({ image: { image: busyboxImage } });
  assert.ok(image);
  const names = [busyboxImage, image.id, image.id.slice('sha256:'.length), ...image.repoDigests];
  for (const [index, name] of names.entries()) {
    const config = container(`image-${String(index)}`, 'true', {
      image: { image: name, userSpecifiedImage: 'as-the-user-said:1' },
    });
    const id = await startContainer(stack, pod, config);
    const { containers } = await stack.runtime.listContainers({ filter: { id } });
    const status = await ended(id);
    const [listed] = containers;
    assert.ok(listed);
    assert.deepEqual([listed.imageId, listed.imageRef], [image.id, image.id], name);
    assert.equal(status.imageId, image.id, name);
    assert.equal(status.imageRef, image.repoDigests[0] ?? image.id, name);
    assert.equal(status.image?.image, image.repoTags[0], name);
    assert.equal(status.image?.userSpecifiedImage, 'as-the-user-said:1', name);
    await stack.runtime.removeContainer({ containerId: id });
  }
});

test('times follow each other: created, then started, then finished, none before it is so', async () => {
  const config = container('times', 'read -r _ < /proc/self/status; exec sleep 1000');
  const { containerId } = await stack.runtime.createContainer({ ...pod, config });
  const created = await statusOf(containerId);
  assert.equal(created.state, ContainerState.CONTAINER_CREATED);
  assert.ok(created.createdAt > 1_600_000_000_000_000_000n);
  assert.deepEqual([created.startedAt, created.finishedAt, created.exitCode], [0n, 0n, 0]);
  await stack.runtime.startContainer({ containerId });
  const running = await statusOf(containerId);
  assert.equal(running.finishedAt, 0n);
  assert.ok(running.startedAt >= running.createdAt);
  await assert.rejects(stack.runtime.startContainer({ containerId }), {
    kind: 'failed-precondition',
  });
  await stack.runtime.stopContainer({ containerId, timeout: 0n });
  const exited = await statusOf(containerId);
  assert.deepEqual([exited.exitCode, exited.reason], [137, 'Error']);
  assert.ok(exited.finishedAt >= exited.startedAt && exited.createdAt === created.createdAt);
  await assert.rejects(stack.runtime.startContainer({ containerId }), {
    kind: 'failed-precondition',
  });
  await assert.rejects(stack.runtime.reopenContainerLog({ containerId }), {
    kind: 'failed-precondition',
  });
  await assert.rejects(stack.runtime.execSync({ containerId, cmd: ['true'] }), {
    kind: 'failed-precondition',
  });
  await stack.runtime.removeContainer({ containerId });
});

test('a later stop with a shorter grace wins, and one whose caller leaves kills nothing', async () => {
  const script = 'trap "echo term" TERM; echo ready; while :; do busybox usleep 10000; done';
  const config = container('stubborn', script);
  const containerId = await startContainer(stack, pod, config);
  const log = () => readFile(logPathOf(pod, config), 'utf8');
  await until('its trap', log, (text) => text.includes('ready'));

  const left = new AbortController();
  const leaving = stack.runtime.stopContainer(
    { containerId, timeout: 1000n },
    { signal: left.signal },
  );
  await until('the signal', log, (text) => text.includes('term'));
  left.abort();
  await assert.rejects(leaving);
  assert.equal((await statusOf(containerId)).state, ContainerState.CONTAINER_RUNNING);

  const long = stack.runtime.stopContainer({ containerId, timeout: 1000n });
  await stack.runtime.stopContainer({ containerId, timeout: 1n });
  await long;
  const { exitCode } = await statusOf(containerId);
  assert.equal(exitCode, 137);
  // Asked three times, told once.
  assert.equal((await log()).match(/ term$/gm)?.length, 1);
  await stack.runtime.removeContainer({ containerId });
});

test('the same request while the first runs, and after its caller has left, is one pod and one container', async () => {
  const clean = await hostOf(stack);
  const config = podConfig(stack, 'twice');
  const ids = await Promise.all(
    Array.from({ length: 4 }, () => stack.runtime.runPodSandbox({ config })),
  );
  assert.equal(new Set(ids.map(({ podSandboxId }) => podSandboxId)).size, 1);
  const podSandboxId = ids[0]?.podSandboxId ?? '';
  const request = {
    podSandboxId,
    config: container('c', 'exec sleep 1000'),
    sandboxConfig: config,
  };
  const made = await Promise.all(
    Array.from({ length: 4 }, () => stack.runtime.createContainer(request)),
  );
  assert.equal(new Set(made.map(({ containerId }) => containerId)).size, 1);
  await removePod(stack, podSandboxId);

  // The deadline of a kubelet passes, at any moment of the making: what it asks again, it gets.
  const slow = podConfig(stack, 'late');
  const first = await stack.runtime
    .runPodSandbox({ config: slow }, { deadlineMs: Date.now() + 30 })
    .catch(() => undefined);
  const again = await stack.runtime.runPodSandbox({ config: slow });
  assert.ok(first === undefined || first.podSandboxId === again.podSandboxId);
  const { items } = await stack.runtime.listPodSandbox({});
  assert.deepEqual(
    items.filter(({ metadata }) => metadata?.name === 'late').map(({ id, state }) => [id, state]),
    [[again.podSandboxId, PodSandboxState.SANDBOX_READY]],
  );
  await removePod(stack, again.podSandboxId);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('a stopped pod has no network any more, takes no container, and its name is free once it is removed', async () => {
  const config = podConfig(stack, 'gone');
  const { podSandboxId } = await runPod(stack, config);
  const before = await stack.runtime.podSandboxStatus({ podSandboxId });
  assert.match(before.status?.network?.ip ?? '', /^10\./);
  await stack.runtime.stopPodSandbox({ podSandboxId });
  const { status } = await stack.runtime.podSandboxStatus({ podSandboxId });
  assert.equal(status?.state, PodSandboxState.SANDBOX_NOTREADY);
  assert.equal(status.network?.ip ?? '', '');
  await assert.rejects(
    stack.runtime.createContainer({ podSandboxId, config: container('c', 'true') }),
    { kind: 'failed-precondition' },
  );
  await assert.rejects(stack.runtime.runPodSandbox({ config }), { kind: 'already-exists' });
  await stack.runtime.removePodSandbox({ podSandboxId });
  await assert.rejects(stack.runtime.podSandboxStatus({ podSandboxId }), { kind: 'not-found' });
  const next = await stack.runtime.runPodSandbox({ config });
  assert.notEqual(next.podSandboxId, podSandboxId);
  await removePod(stack, next.podSandboxId);
});

test('a host port that two pods want is the first one’s, until that is gone', async () => {
  const hostPort = 31_000 + (process.pid % 900);
  const portMappings = [{ containerPort: 80, hostPort }] as NonNullable<PodConfig['portMappings']>;
  const names = ['first', 'second'];
  const pods: RunningPod[] = [];
  for (const name of names) {
    const where = await runPod(stack, podConfig(stack, `port-${name}`, { portMappings }));
    pods.push(where);
    const serve = `while :; do echo ${name} | nc -l -p 80; done`;
    await startContainer(stack, where, container('server', serve));
  }
  let asked = 0;
  const answer = () => {
    asked += 1;
    const ask = `nc -w 2 ${stack.addressPrefix}1 ${String(hostPort)} < /dev/null || true`;
    return outputOf(container(`probe-${String(asked)}`, ask));
  };
  await until('the first one', answer, (words) => words === 'first\n');
  const [first, second] = pods;
  assert.ok(first && second);
  await removePod(stack, first.podSandboxId);
  await until('the second one', answer, (words) => words === 'second\n');
  await removePod(stack, second.podSandboxId);
});

test('a plugin that can not detach keeps its pod stoppable later, and removal waits for that', async () => {
  const { podSandboxId } = await runPod(stack, podConfig(stack, 'detach'));
  const plugins = join(stack.dir, 'plugins');
  await mkdir(plugins, { recursive: true });
  const broken = join(plugins, 'bridge');
  await writeFile(
    broken,
    `#!/bin/sh\necho '{"cniVersion":"1.0.0","code":11,"msg":"the switch is on fire"}'; exit 1\n`,
    { mode: 0o755 },
  );
  await assert.rejects(stack.runtime.stopPodSandbox({ podSandboxId }), /the switch is on fire/);
  await assert.rejects(stack.runtime.removePodSandbox({ podSandboxId }), /the switch is on fire/);
  const { status } = await stack.runtime.podSandboxStatus({ podSandboxId });
  assert.equal(status?.state, PodSandboxState.SANDBOX_NOTREADY);
  await rm(broken);
  await removePod(stack, podSandboxId);
});

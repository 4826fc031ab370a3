import assert from 'node:assert/strict';
import { readlinkSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { mountInfo, unmount } from '@gantry/host';
import { NamespaceMode, PodSandboxState } from '@gantry/proto';
import { dialPortForward } from '@gantry/remotecommand';
import { hostOf, leaks } from './harness/host.ts';
import {
  logPathOf,
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { conmonsOf, killServices } from './harness/services.ts';
import { stackForTests } from './harness/stack-for-tests.ts';
import { until } from './harness/until.ts';

const stack = await stackForTests({ infra: 'none' });

const stateOf = async (pod: RunningPod) =>
  (await stack.runtime.podSandboxStatus(pod)).status?.state;
const outputOf = async (containerId: string, ...cmd: string[]) => {
  const { exitCode, stdout, stderr } = await stack.runtime.execSync({ containerId, cmd });
  assert.equal(exitCode, 0, Buffer.from(stderr).toString());
  return Buffer.from(stdout).toString().trim();
};
const pidOf = async (containerId: string): Promise<number> => {
  const { info } = await stack.runtime.containerStatus({ containerId, verbose: true });
  return (JSON.parse(info['info'] ?? '{}') as { pid: number }).pid;
};

test('a pod without containers has no process, and is ready when every service was killed', async () => {
  const clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'idle'));
  assert.deepEqual(conmonsOf(stack), []);
  assert.equal(await stateOf(pod), PodSandboxState.SANDBOX_READY);
  killServices(stack, 'sandbox-service');
  await until(
    'sandbox-service is back',
    () => stateOf(pod).catch(() => undefined),
    (state) => state === PodSandboxState.SANDBOX_READY,
    60_000,
  );
  assert.deepEqual(conmonsOf(stack), []);
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('containers of a pod share network, ipc and host name, and not their processes', async () => {
  const clean = await hostOf(stack);
  const linux = { sysctls: { 'kernel.shm_rmid_forced': '1', 'net.ipv4.ip_forward': '1' } };
  const pod = await runPod(stack, podConfig(stack, 'shared', { hostname: 'the-pod', linux }));
  const config = shellContainer(
    'first',
    `hostname; cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_forward \
      /proc/sys/net/ipv4/ip_unprivileged_port_start; echo up; exec httpd -f -p 80 -h /www`,
  );
  const first = await startContainer(stack, pod, config);
  const second = await startContainer(stack, pod, shellContainer('second', 'exec sleep 1000'));
  const other = await runPod(stack, podConfig(stack, 'other'));
  const stranger = await startContainer(stack, other, shellContainer('c', 'exec sleep 1000'));
  const log = await until(
    'up',
    () => readFile(logPathOf(pod, config), 'utf8'),
    (text) => text.includes('up'),
  );
  const lines = log.split('\n').map((line) => line.split(' ').slice(3).join(' '));
  assert.deepEqual(lines.slice(0, 5), ['the-pod', '1', '1', '0', 'up']);

  const [a, b, c] = await Promise.all([first, second, stranger].map(pidOf));
  const idOf = (pid: number | undefined, kind: string) =>
    readlinkSync(`/proc/${String(pid)}/ns/${kind}`);
  for (const kind of ['net', 'ipc', 'uts']) {
    assert.equal(idOf(a, kind), idOf(b, kind), kind);
    assert.notEqual(idOf(a, kind), idOf(c, kind), kind);
    assert.notEqual(idOf(a, kind), readlinkSync(`/proc/self/ns/${kind}`), kind);
  }
  assert.notEqual(idOf(a, 'pid'), idOf(b, 'pid'));
  await until(
    'the page by the shared loopback',
    () => outputOf(second, 'wget', '-q', '-O', '-', 'http://127.0.0.1/').then(() => 'ok', String),
    (answer) => answer === 'ok',
  );
  await outputOf(first, 'sh', '-c', 'echo shared > /dev/shm/note');
  assert.equal(await outputOf(second, 'cat', '/dev/shm/note'), 'shared');

  // A container that ends takes nothing of the pod with it.
  await stack.runtime.stopContainer({ containerId: first, timeout: 0n });
  await stack.runtime.removeContainer({ containerId: first });
  const again = await startContainer(
    stack,
    pod,
    shellContainer('again', 'exec sleep 1000', { metadata: { name: 'again', attempt: 1 } }),
  );
  assert.equal(idOf(await pidOf(again), 'ipc'), idOf(b, 'ipc'));
  assert.equal(await outputOf(again, 'hostname'), 'the-pod');
  await removePod(stack, pod.podSandboxId);
  await removePod(stack, other.podSandboxId);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('a pod with users of its own has no process either, and its namespaces are theirs', async () => {
  const clean = await hostOf(stack);
  const ids = [{ containerId: 0, hostId: 300_000, length: 65_536 }];
  const { CONTAINER, POD } = NamespaceMode;
  const namespaceOptions = { pid: CONTAINER, usernsOptions: { mode: POD, uids: ids, gids: ids } };
  const securityContext = { namespaceOptions };
  const linux = { securityContext, sysctls: { 'kernel.shm_rmid_forced': '1' } };
  const pod = await runPod(stack, podConfig(stack, 'users', { hostname: 'theirs', linux }));
  assert.deepEqual(conmonsOf(stack), []);
  const container = (name: string) =>
    startContainer(
      stack,
      pod,
      shellContainer(name, 'exec sleep 1000', {
        linux: {
          securityContext: { ...securityContext, capabilities: { addCapabilities: ['SYS_ADMIN'] } },
        },
      }),
    );
  const [one, two] = [await container('one'), await container('two')];
  assert.match(await outputOf(one, 'cat', '/proc/self/uid_map'), /^ *0 +300000 +65536$/);
  assert.equal(await outputOf(one, 'cat', '/proc/sys/kernel/shm_rmid_forced'), '1');
  // Root of the pod may change what belongs to its users, and all containers see it.
  assert.equal(await outputOf(one, 'hostname'), 'theirs');
  await outputOf(one, 'hostname', 'ours');
  assert.equal(await outputOf(two, 'hostname'), 'ours');
  await outputOf(one, 'sh', '-c', 'echo shared > /dev/shm/note');
  assert.equal(await outputOf(two, 'cat', '/dev/shm/note'), 'shared');
  const [a, b] = [await pidOf(one), await pidOf(two)];
  for (const kind of ['user', 'net', 'ipc', 'uts']) {
    const idOf = (pid: number) => readlinkSync(`/proc/${pid}/ns/${kind}`);
    assert.equal(idOf(a), idOf(b), kind);
    assert.notEqual(idOf(a), readlinkSync(`/proc/self/ns/${kind}`), kind);
  }
  assert.equal(statSync(`/proc/${a}`).uid, 300_000);
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('a pod that shares its processes has a reaper, and orphans do not stay zombies', async () => {
  const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } };
  const pod = await runPod(stack, podConfig(stack, 'reaped', { linux }));
  assert.equal(conmonsOf(stack).length, 1);
  const id = await startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'));
  // The shell in the middle ends first: its child is an orphan, whose parent is then the reaper.
  await outputOf(id, 'sh', '-c', '(sleep 0.2 & echo) ; true');
  await until(
    'no zombie',
    () =>
      outputOf(
        id,
        'sh',
        '-c',
        'grep -l "^State:.Z" /proc/[0-9]*/status; ps | grep -c "[s]leep 0.2"; true',
      ),
    (text) => text === '0',
  );
  await removePod(stack, pod.podSandboxId);
});

test('a sysctl that is of the host is refused with its name, and nothing stays', async () => {
  const clean = await hostOf(stack);
  for (const sysctl of ['vm.swappiness', 'kernel.pid_max', 'kernel.hostname']) {
    const config = podConfig(stack, 'greedy', { linux: { sysctls: { [sysctl]: '1' } } });
    await assert.rejects(stack.runtime.runPodSandbox({ config }), {
      kind: 'invalid-argument',
      message: new RegExp(sysctl.replace('.', '\\.')),
    });
  }
  const onHost = podConfig(stack, 'greedy', {
    linux: {
      sysctls: { 'net.ipv4.ip_forward': '1' },
      securityContext: { namespaceOptions: { network: NamespaceMode.NODE } },
    },
  });
  await assert.rejects(stack.runtime.runPodSandbox({ config: onHost }), {
    kind: 'invalid-argument',
    message: /ip_forward/,
  });
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('a privileged container can write sysfs also when another one was there before it', async () => {
  const clean = await hostOf(stack);
  const linux = { securityContext: { privileged: true } };
  const pod = await runPod(stack, podConfig(stack, 'privileged', { linux }));
  await startContainer(stack, pod, shellContainer('plain', 'exec sleep 1000'));
  const id = await startContainer(
    stack,
    pod,
    shellContainer('root', 'exec sleep 1000', { linux: { securityContext: { privileged: true } } }),
  );
  await outputOf(id, 'sh', '-c', 'echo 1400 > /sys/class/net/eth0/mtu');
  assert.equal(await outputOf(id, 'cat', '/sys/class/net/eth0/mtu'), '1400');
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('its stats and its network are told without a process of its own', async () => {
  const pod = await runPod(stack, podConfig(stack, 'counted'));
  const figures = async () => {
    const { stats } = await stack.runtime.podSandboxStats(pod);
    const { network, process } = stats?.linux ?? {};
    const { name, txBytes } = network?.defaultInterface ?? {};
    return { name, sent: Number(txBytes?.value), processes: process?.processCount?.value };
  };
  const empty = await figures();
  assert.equal(empty.name, 'eth0');
  assert.equal(empty.processes, 0n);
  const id = await startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'));
  await outputOf(id, 'ping', '-c', '2', '-s', '1000', `${stack.addressPrefix}1`);
  const busy = await figures();
  assert.ok(busy.sent > 2000);
  assert.equal(busy.processes, 1n);
  await removePod(stack, pod.podSandboxId);
});

test('a port of its loopback is forwarded', async () => {
  const pod = await runPod(stack, podConfig(stack, 'forwarded'));
  const page =
    'mkdir /tmp/www; echo page > /tmp/www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /tmp/www';
  const id = await startContainer(stack, pod, shellContainer('web', page));
  await until(
    'the server listens',
    () => outputOf(id, 'netstat', '-ltn'),
    (list) => list.includes(':8080 '),
  );
  const { url } = await stack.runtime.portForward({ ...pod, port: [8080] });
  const protocols = ['portforward.k8s.io'];
  await using client = await dialPortForward(url, { transport: 'spdy', protocols, ports: [8080] });
  const connection = await client.open(8080);
  connection.write('GET / HTTP/1.0\r\n\r\n');
  assert.match(await text(connection), /200 OK.*page\n$/s);
  await removePod(stack, pod.podSandboxId);
});

test('a pod that lost a namespace is not ready after a restart, and can be removed', async () => {
  const clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'robbed'));
  const pin = join(stack.stateDir, 'pins', pod.podSandboxId, 'ipc');
  assert.ok(statSync(pin).isFile() && (await mountInfo()).some((m) => m.mountPoint === pin));
  await unmount(pin);
  killServices(stack, 'sandbox-service');
  await until(
    'not ready',
    () => stateOf(pod).catch(() => undefined),
    (state) => state === PodSandboxState.SANDBOX_NOTREADY,
    60_000,
  );
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

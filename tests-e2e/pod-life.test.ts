import assert from 'node:assert/strict';
import { readFile, rename } from 'node:fs/promises';
import { test } from 'node:test';
import { NamespaceMode, PodSandboxState } from '@gantry/proto';
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
import { stackForTests } from './harness/stack-for-tests.ts';
import { until } from './harness/until.ts';

const stack = await stackForTests();

const statusOf = async (containerId: string) => {
  const { status } = await stack.runtime.containerStatus({ containerId });
  assert.ok(status);
  return status;
};
const exited = (containerId: string) =>
  until(
    `exit of ${containerId}`,
    () => statusOf(containerId),
    (s) => s.state === ContainerState.CONTAINER_EXITED,
  );

test('a pod runs from RunPodSandbox to RemovePodSandbox and leaves nothing behind', async () => {
  const before = await hostOf(stack);
  const config = podConfig(stack, 'life', {
    hostname: 'life-host',
    dnsConfig: {
      servers: ['10.1.2.3'],
      searches: ['a.example', 'b.example'],
      options: ['ndots:3'],
    },
    labels: { app: 'life' },
    annotations: { note: 'kept' },
  });
  const pod = await runPod(stack, config);

  const { status } = await stack.runtime.podSandboxStatus(pod);
  assert.equal(status?.state, PodSandboxState.SANDBOX_READY);
  assert.ok(status.network?.ip.startsWith(stack.addressPrefix));
  assert.ok(status.createdAt > 0n);
  assert.deepEqual(status.labels, { app: 'life' });
  assert.deepEqual(status.annotations, { note: 'kept' });
  assert.equal(status.metadata?.name, 'life');

  const container = shellContainer(
    'web',
    'hostname; cat /etc/resolv.conf; df -m /dev/shm | tail -1; echo to-stderr >&2; exec httpd -f -p 80 -h /www',
  );
  const containerId = await startContainer(stack, pod, container);
  const running = await statusOf(containerId);
  assert.equal(running.state, ContainerState.CONTAINER_RUNNING);
  assert.ok(running.createdAt > 0n && running.startedAt >= running.createdAt);
  assert.equal(running.finishedAt, 0n);
  assert.match(running.imageRef, /sha256:/);
  assert.match(running.imageId, /^sha256:[0-9a-f]{64}$/);

  const page = await until(
    'http',
    () =>
      fetch(`http://${status.network?.ip}/`).then(
        (r) => r.status,
        () => 0,
      ),
    (code) => code !== 0,
  );
  assert.equal(page, 200);

  // conmon reads each output when it comes to it, the server may answer before.
  const log = await until(
    'both outputs in the log',
    () => readFile(logPathOf(pod, container), 'utf8'),
    (lines) => lines.includes('/dev/shm') && lines.includes('to-stderr'),
  );
  assert.match(log, /^\d{4}-\d\d-\d\dT\S+ stdout F life-host$/m);
  assert.match(log, /stdout F search a\.example b\.example$/m);
  assert.match(log, /stdout F nameserver 10\.1\.2\.3$/m);
  assert.match(log, /stdout F options ndots:3$/m);
  assert.match(log, /stdout F tmpfs +64 .* \/dev\/shm$/m);
  assert.match(log, / stderr F to-stderr$/m);

  const { containers } = await stack.runtime.listContainers({
    filter: { podSandboxId: pod.podSandboxId.slice(0, 12) },
  });
  assert.deepEqual(
    containers.map((c) => [c.id, c.state]),
    [[containerId, ContainerState.CONTAINER_RUNNING]],
  );

  await stack.runtime.stopContainer({ containerId, timeout: 0n });
  const stopped = await statusOf(containerId);
  assert.equal(stopped.state, ContainerState.CONTAINER_EXITED);
  assert.equal(stopped.exitCode, 137);
  assert.equal(stopped.reason, 'Error');
  assert.ok(stopped.finishedAt >= stopped.startedAt);
  await stack.runtime.removeContainer({ containerId });
  await stack.runtime.stopPodSandbox(pod);
  const after = await stack.runtime.podSandboxStatus(pod);
  assert.equal(after.status?.state, PodSandboxState.SANDBOX_NOTREADY);
  await stack.runtime.removePodSandbox(pod);
  await assert.rejects(stack.runtime.podSandboxStatus(pod), { kind: 'not-found' });
  assert.deepEqual(leaks(before, await hostOf(stack)), []);
});

for (const { name, script, exitCode, reason } of [
  { name: 'zero', script: 'exit 0', exitCode: 0, reason: 'Completed' },
  { name: 'seven', script: 'exit 7', exitCode: 7, reason: 'Error' },
  { name: 'signal', script: 'kill -TERM $$', exitCode: 143, reason: 'Error' },
]) {
  test(`a container that ends by "${script}" is ${reason} with ${exitCode}`, async () => {
    const pod = await runPod(stack, podConfig(stack, `exit-${name}`));
    const containerId = await startContainer(
      stack,
      pod,
      // The shell is not pid 1, so that a signal to itself has its default effect.
      shellContainer(name, `sh -c '${script}'; exit $?`),
    );
    const status = await exited(containerId);
    assert.equal(status.exitCode, exitCode);
    assert.equal(status.reason, reason);
    await removePod(stack, pod.podSandboxId);
  });
}

test('a container gets its grace before it is killed', async () => {
  const pod = await runPod(stack, podConfig(stack, 'grace'));
  const config = shellContainer(
    'polite',
    "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done",
  );
  const containerId = await startContainer(stack, pod, config);
  await until(
    'up',
    () => readFile(logPathOf(pod, config), 'utf8'),
    (log) => log.includes('up'),
  );
  await stack.runtime.stopContainer({ containerId, timeout: 20n });
  const status = await statusOf(containerId);
  assert.equal(status.exitCode, 3);
  assert.match(await readFile(logPathOf(pod, config), 'utf8'), /stdout F bye/);
  await removePod(stack, pod.podSandboxId);
});

test('a container that ignores its stop signal is killed when the grace is over', async () => {
  const pod = await runPod(stack, podConfig(stack, 'rude'));
  const config = shellContainer('rude', "trap '' TERM; echo up; while :; do sleep 0.1; done");
  const containerId = await startContainer(stack, pod, config);
  await until(
    'up',
    () => readFile(logPathOf(pod, config), 'utf8'),
    (log) => log.includes('up'),
  );
  await stack.runtime.stopContainer({ containerId, timeout: 1n });
  assert.equal((await statusOf(containerId)).exitCode, 137);
  await removePod(stack, pod.podSandboxId);
});

test('a log that was rotated goes on in a new file, with no line lost', async () => {
  const pod = await runPod(stack, podConfig(stack, 'rotate'));
  const config = shellContainer(
    'count',
    'i=0; while :; do echo line-$i; i=$((i+1)); sleep 0.01; done',
  );
  const containerId = await startContainer(stack, pod, config);
  const path = logPathOf(pod, config);
  await until(
    'lines',
    () => readFile(path, 'utf8'),
    (log) => log.includes('line-20'),
  );
  await rename(path, `${path}.1`);
  await stack.runtime.reopenContainerLog({ containerId });
  await until(
    'new lines',
    () => readFile(path, 'utf8'),
    (log) => log.split('\n').length > 20,
  );
  await stack.runtime.stopContainer({ containerId, timeout: 0n });
  const text = (await readFile(`${path}.1`, 'utf8')) + (await readFile(path, 'utf8'));
  const numbers = [...text.matchAll(/line-(\d+)/g)].map((m) => Number(m[1]));
  assert.deepEqual(numbers, [...numbers.keys()]);
  await assert.rejects(stack.runtime.reopenContainerLog({ containerId }), {
    kind: 'failed-precondition',
  });
  await removePod(stack, pod.podSandboxId);
});

test('stop and remove of what is unknown, or stopped already, succeed', async () => {
  const id = 'f'.repeat(64);
  await stack.runtime.stopContainer({ containerId: id, timeout: 0n });
  await stack.runtime.removeContainer({ containerId: id });
  await stack.runtime.stopPodSandbox({ podSandboxId: id });
  await stack.runtime.removePodSandbox({ podSandboxId: id });
  const pod = await runPod(stack, podConfig(stack, 'twice'));
  await removePod(stack, pod.podSandboxId);
  await removePod(stack, pod.podSandboxId);
});

test('a pod on the network of the host has no ip of its own', async () => {
  const pod = await runPod(
    stack,
    podConfig(stack, 'hostnet', {
      linux: { securityContext: { namespaceOptions: { network: 2 } } },
    }),
  );
  const { status } = await stack.runtime.podSandboxStatus(pod);
  assert.equal(status?.network?.ip ?? '', '');
  await removePod(stack, pod.podSandboxId);
});

test('a host port reaches the pod', async () => {
  const pod = await runPod(
    stack,
    podConfig(stack, 'hostport', { portMappings: [{ containerPort: 80, hostPort: 12080 }] }),
  );
  await startContainer(stack, pod, shellContainer('web', 'exec httpd -f -p 80 -h /www'));
  const code = await until(
    'http by host port',
    () =>
      fetch('http://127.0.0.1:12080/').then(
        (r) => r.status,
        () => 0,
      ),
    (c) => c !== 0,
  );
  assert.equal(code, 200);
  await removePod(stack, pod.podSandboxId);
});

test('a sandbox whose pause process dies is not ready', async () => {
  // One whose containers share their processes has it whatever is configured.
  const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } };
  const pod = await runPod(stack, podConfig(stack, 'pauseless', { linux }));
  const { info } = await stack.runtime.podSandboxStatus({ ...pod, verbose: true });
  const { pid } = JSON.parse(info['info'] ?? '{}') as { pid: number };
  assert.ok(pid > 1);
  process.kill(pid, 'SIGKILL');
  await until(
    'not ready',
    () => stack.runtime.podSandboxStatus(pod),
    ({ status }) => status?.state === PodSandboxState.SANDBOX_NOTREADY,
  );
  await removePod(stack, pod.podSandboxId);
});

test('ten pods at once get ten addresses and leave nothing behind', async () => {
  const before = await hostOf(stack);
  const pods = await Promise.all(
    Array.from({ length: 10 }, (_, i) => runPod(stack, podConfig(stack, `many-${i}`))),
  );
  const ips = await Promise.all(
    pods.map(async (pod) => (await stack.runtime.podSandboxStatus(pod)).status?.network?.ip),
  );
  assert.equal(new Set(ips).size, 10);
  await Promise.all(pods.map((pod) => removePod(stack, pod.podSandboxId)));
  assert.deepEqual(leaks(before, await hostOf(stack)), []);
});

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, afterEach, before, test } from 'node:test';
import { dialRemoteCommand } from '@gantry/remotecommand';
import { hostOf, leaks } from '../harness/host.ts';
import { killServices } from '../harness/services.ts';
import { type Stack, startStack } from '../harness/stack.ts';
import { until } from '../harness/until.ts';
import { prepareHost } from './host-for-kubelet.ts';
import { type ContainerStatus, type Kubelet, nodeName, startKubelet } from './kubelet.ts';
import { crashingPod, hostPod, oomPod, type Pod, webPod } from './pods.ts';

const owned = new AsyncDisposableStack();
let stack: Stack;
let kubelet: Kubelet;
let shared: string;
let empty: Awaited<ReturnType<typeof hostOf>>;

before(async () => {
  stack = owned.use(await startStack());
  owned.use(await prepareHost(stack));
  shared = join(stack.dir, 'shared');
  await mkdir(shared);
  empty = await hostOf(stack);
  kubelet = owned.use(await startKubelet(stack));
});
after(() => owned.disposeAsync());
afterEach(async (t) => {
  if ('passed' in t && t.passed !== true) {
    const lines = (await readFile(kubelet.logFile, 'utf8')).split('\n');
    const errors = lines.filter((line) => line.startsWith('E'));
    process.stderr.write(`${errors.slice(-30).join('\n')}\n`);
  }
});

const containersOf = async (name: string): Promise<readonly ContainerStatus[]> => {
  const pod = await kubelet.pod(name);
  return [...(pod?.status.initContainerStatuses ?? []), ...(pod?.status.containerStatuses ?? [])];
};
const containerOf = async (name: string, container: string) =>
  (await containersOf(name)).find((status) => status.name === container);

/** Waits until all its containers are what a pod in service has. */
const isReady = (name: string) =>
  until(
    `pod ${name} is ready`,
    () => containersOf(name),
    (all) => all.length > 0 && all.every((status) => status.ready),
    90_000,
  );

test('a pod with init containers, a sidecar, probes, hooks and users runs', async () => {
  await kubelet.add(webPod(shared));
  const containers = await isReady('web');
  assert.deepEqual(
    containers.map(({ name, restartCount, state }) => [name, restartCount, Object.keys(state)]),
    [
      ['init', 0, ['terminated']],
      ['sidecar', 0, ['running']],
      ['httpd', 0, ['running']],
      ['second', 0, ['running']],
    ],
  );
  assert.ok(containers.every(({ containerID }) => containerID?.startsWith('gantry://')));
  assert.equal(containers[0]?.state.terminated?.reason, 'Completed');
  const { status } = (await kubelet.pod('web')) ?? assert.fail('no pod');
  assert.ok(status.podIP?.startsWith(stack.addressPrefix), status.podIP);
  const page = await fetch(`http://${status.podIP}:8080/index.html`);
  assert.equal(await page.text(), 'from-init\n');
  assert.equal(await readFile(join(shared, 'post'), 'utf8'), 'started\n');
});

test('logs and commands come by way of the kubelet', async () => {
  const pod = `default/web-${nodeName}`;
  const log = await kubelet.get(`/containerLogs/${pod}/init`);
  assert.match(log, /^uid=0.* groups=.*3000,4000$/m);
  for (const transport of ['spdy', 'websocket'] as const) {
    const query = new URLSearchParams([
      ...['sh', '-c', 'read x; echo "$IP $x"; id -u >&2; exit 7'].map((word) => ['command', word]),
      ...['input', 'output', 'error'].map((stream) => [stream, '1']),
    ] as [string, string][]);
    await using client = await dialRemoteCommand(
      `${kubelet.url}/exec/${pod}/httpd?${query.toString()}`,
      {
        transport,
        ca: kubelet.ca,
        stdin: true,
        stdout: true,
        stderr: true,
        tty: false,
      },
    );
    client.stdin?.write('hello\n');
    assert.ok(client.stdout !== undefined && client.stderr !== undefined);
    const [out, err] = await Promise.all([text(client.stdout), text(client.stderr)]);
    const ip = (await kubelet.pod('web'))?.status.podIP;
    assert.deepEqual([out, err], [`${ip} hello\n`, '0\n'], transport);
    assert.deepEqual(await client.status, { exitCode: 7 });
  }
});

test('a container that crashes is made anew, each attempt under its number, and its words are told', async () => {
  await kubelet.add(crashingPod);
  const attempts = async (count: number): Promise<ContainerStatus | undefined> =>
    until(
      `${count} attempts`,
      () => containerOf('crash', 'c'),
      (container) => (container?.restartCount ?? 0) >= count,
      120_000,
    );
  await attempts(1);
  // Its first look takes the statuses of the pod as they stand in PodSandboxStatus.
  await kubelet.restart();
  const status = await attempts(4);
  const end = status?.lastState.terminated ?? status?.state.terminated;
  assert.deepEqual([end?.exitCode, end?.reason, end?.message], [3, 'Error', 'because\n']);
  const log = await readFile(kubelet.logFile, 'utf8');
  assert.doesNotMatch(log, /is reserved for/);
});

test('a container that takes too much memory is OOMKilled, in a pod with users of its own', async () => {
  await kubelet.add(oomPod);
  const pod = await until(
    'the pod has ended',
    () => kubelet.pod('oom'),
    (found) => found?.status.phase === 'Failed',
    60_000,
  );
  const ends = pod?.status.containerStatuses?.map(({ name, state }) => [
    name,
    state.terminated?.reason,
    state.terminated?.exitCode,
  ]);
  assert.deepEqual(ends, [
    ['hungry', 'OOMKilled', 137],
    ['modest', 'Completed', 0],
  ]);
  const users = await kubelet.get(`/containerLogs/default/oom-${nodeName}/hungry`);
  assert.doesNotMatch(users, /^\s*0\s+0\s/);
});

test('a pod in the namespaces of the node runs', async () => {
  await kubelet.add(hostPod);
  await isReady('host');
});

interface Summary {
  readonly pods: readonly {
    readonly podRef: { readonly name: string };
    readonly network?: { readonly rxBytes?: number };
    readonly memory?: { readonly workingSetBytes?: number };
    readonly containers?: readonly { readonly name: string; readonly cpu?: object }[] | null;
  }[];
}

test('the kubelet tells what pods use, from what Gantry tells it', async () => {
  const pod = await until(
    'stats of the pod',
    async () => {
      const { pods } = JSON.parse(await kubelet.get('/stats/summary')) as Summary;
      return pods.find(({ podRef }) => podRef.name === `web-${nodeName}`);
    },
    (found) => (found?.network?.rxBytes ?? 0) > 0 && (found?.containers?.length ?? 0) === 3,
    60_000,
  );
  assert.ok((pod?.memory?.workingSetBytes ?? 0) > 100_000);
  assert.match(
    await kubelet.get('/metrics/cadvisor'),
    /^container_network_receive_bytes_total\{.*pod="web-node1"/m,
  );
});

/** How many liveness probes the kubelet has done since its start. */
const livenessProbes = async (): Promise<number> =>
  (await kubelet.get('/metrics/probes'))
    .split('\n')
    .filter((line) => /^prober_probe_total\{.*probe_type="Liveness"/.test(line))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);

test('no container is made anew when every process of Gantry is killed, or the kubelet starts again', async () => {
  const before = await containersOf('web');
  killServices(
    stack,
    'cri-gateway',
    'sandbox-service',
    'stream-server',
    'image-service',
    'nats-server',
  );
  await until(
    'the runtime is up again',
    () => stack.runtime.status({}).then(() => 'ok', String),
    (answer) => answer === 'ok',
    60_000,
  );
  await kubelet.restart();
  const known = await isReady('web');
  const probed = await livenessProbes();
  await until('more probes', livenessProbes, (count) => count >= probed + 4, 60_000);
  for (const containers of [known, await containersOf('web')]) {
    assert.deepEqual(
      containers.map(({ containerID, restartCount }) => [containerID, restartCount]),
      before.map(({ containerID, restartCount }) => [containerID, restartCount]),
    );
  }
});

test('pods that are taken away end with their hooks, and leave nothing', async () => {
  for (const pod of [webPod(shared), crashingPod, oomPod, hostPod] satisfies Pod[]) {
    await kubelet.remove(pod.metadata.name);
  }
  // The kubelet removes pods that have ended once a minute.
  await until(
    'no pod is left',
    () => stack.runtime.listPodSandbox({}),
    ({ items }) => items.length === 0,
    150_000,
  );
  assert.equal(await readFile(join(shared, 'pre'), 'utf8'), 'stopping\n');
  const left = await until(
    'nothing is left',
    async () => leaks(empty, await hostOf(stack)),
    (lines) => lines.every(isOfKubelet),
    30_000,
  );
  assert.ok(left.every(isOfKubelet), left.join('\n'));
});

/** The kubelet keeps its own cgroups, and it is a process itself. */
const isOfKubelet = (line: string): boolean =>
  /^cgroup left: .*\/kubepods(\/(besteffort|burstable))?$/.test(line) ||
  /^process left: .*gantry-tests\/kubelet-/.test(line);

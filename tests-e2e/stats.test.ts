import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from '@gantry/host';
import {
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { stackForTests } from './harness/stack-for-tests.ts';
import { until } from './harness/until.ts';

const mib = 1024n * 1024n;
const crictl = process.env['GANTRY_E2E_CRICTL'];

const stack = await stackForTests();

const statsOf = async (containerId: string) => {
  const { stats } = await stack.runtime.containerStats({ containerId });
  assert.equal(stats?.attributes?.id, containerId);
  return stats;
};

const podStatsOf = async ({ podSandboxId }: RunningPod) => {
  const { stats } = await stack.runtime.podSandboxStats({ podSandboxId });
  assert.equal(stats?.attributes?.id, podSandboxId);
  return stats.linux;
};

/** Zero for what is absent. */
const n = (figure: { readonly value: bigint } | undefined): bigint => figure?.value ?? 0n;

const coresOf = async (containerId: string) => n((await statsOf(containerId)).cpu?.usageNanoCores);
const memoryOf = async (containerId: string) => {
  const { memory } = await statsOf(containerId);
  assert.ok(memory !== undefined);
  return memory;
};

test('a container that burns CPU shows it, in time and as a rate', async (t) => {
  const pod = await runPod(stack, podConfig(stack, 'busy'));
  t.after(() => removePod(stack, pod.podSandboxId));
  // Half a core, so that the test shares the machine.
  const resources = { cpuQuota: 50_000n, cpuPeriod: 100_000n };
  const busy = shellContainer('busy', 'while :; do :; done', { linux: { resources } });
  const busyId = await startContainer(stack, pod, busy);
  const idleId = await startContainer(stack, pod, shellContainer('idle', 'exec sleep 1000'));
  // A quota is given for each 100 ms: over a short time it may be more than a half.
  await until(
    'about half a core',
    () => coresOf(busyId),
    (cores) => cores > 250_000_000n && cores < 750_000_000n,
  );
  const idle = await until(
    'next to nothing',
    () => statsOf(idleId),
    ({ cpu }) => cpu?.usageNanoCores !== undefined && cpu.usageNanoCores.value < 20_000_000n,
  );
  const total = async () => n((await statsOf(busyId)).cpu?.usageCoreNanoSeconds);
  const first = await total();
  assert.ok(first > n(idle.cpu?.usageCoreNanoSeconds));
  await until('more CPU time', total, (now) => now > first + 50_000_000n);
});

test('a container that holds memory shows it against its limit, and so does its pod', async (t) => {
  const pod = await runPod(stack, podConfig(stack, 'big'));
  t.after(() => removePod(stack, pod.podSandboxId));
  const resources = { memoryLimitInBytes: 100n * mib };
  const script = 'x=$(head -c 20000000 /dev/zero | tr "\\0" a); sleep 1000; echo $x';
  const id = await startContainer(
    stack,
    pod,
    shellContainer('b', script, { linux: { resources } }),
  );
  const small = await startContainer(stack, pod, shellContainer('small', 'exec sleep 1000'));
  const memory = await until(
    '20 MB held',
    () => memoryOf(id),
    ({ rssBytes }) => n(rssBytes) > 19n * mib,
  );
  assert.ok(n(memory.workingSetBytes) >= 19n * mib);
  assert.ok(n(memory.usageBytes) >= n(memory.workingSetBytes));
  assert.equal(n(memory.availableBytes), 100n * mib - n(memory.workingSetBytes));
  assert.ok(n(memory.pageFaults) > 1000n);
  const other = await memoryOf(small);
  assert.ok(n(other.rssBytes) < 5n * mib);
  assert.equal(other.availableBytes, undefined);

  // The pause process, a shell with its sleep, and a sleep; the shell holds the memory before it forks.
  const linux = await until(
    'four processes',
    () => podStatsOf(pod),
    (stats) => n(stats?.process?.processCount) === 4n,
  );
  assert.ok(n(linux?.memory?.rssBytes) > 19n * mib);
  assert.equal(linux?.containers.length, 2);
});

test('the figures of a pod with a cgroup of its own are those of the cgroup', async (t) => {
  const cgroupParent = `${stack.cgroupParent}/podx`;
  const pod = await runPod(stack, podConfig(stack, 'own', { linux: { cgroupParent } }));
  t.after(() => removePod(stack, pod.podSandboxId));
  const id = await startContainer(stack, pod, shellContainer('a', 'exec sleep 1000'));
  const usage = async () => n((await podStatsOf(pod))?.cpu?.usageCoreNanoSeconds);
  const before = await usage();
  assert.ok(before > 0n);
  await stack.runtime.stopContainer({ containerId: id, timeout: 0n });
  await stack.runtime.removeContainer({ containerId: id });
  // What a container has used that is gone stays in the cgroup of its pod.
  assert.ok((await usage()) >= before);
});

test('what a container writes to its root is its writable layer', async (t) => {
  const pod = await runPod(stack, podConfig(stack, 'writer'));
  t.after(() => removePod(stack, pod.podSandboxId));
  const containerId = await startContainer(stack, pod, shellContainer('w', 'exec sleep 1000'));
  const layer = async () => (await statsOf(containerId)).writableLayer;
  const first = await layer();
  assert.ok(first?.usedBytes !== undefined && first.usedBytes.value < mib);
  assert.ok(n(first.inodesUsed) > 0n);
  await stack.runtime.execSync({
    containerId,
    cmd: ['dd', 'if=/dev/zero', 'of=/data', 'bs=1M', 'count=8'],
    timeout: 20n,
  });
  const second = await until('8 MiB', layer, (l) => n(l?.usedBytes) >= 8n * mib);
  assert.ok(n(second?.inodesUsed) > n(first.inodesUsed));
  assert.ok((second?.timestamp ?? 0n) > first.timestamp);

  await stack.runtime.stopContainer({ containerId, timeout: 0n });
  const ended = await statsOf(containerId);
  assert.deepEqual([ended.cpu, ended.memory], [undefined, undefined]);
  assert.ok(n(ended.writableLayer?.usedBytes) >= 8n * mib);
});

test("the network of a pod is counted as the pod sees it; that of the host is not a pod's", async (t) => {
  const pod = await runPod(stack, podConfig(stack, 'net'));
  t.after(() => removePod(stack, pod.podSandboxId));
  await startContainer(stack, pod, shellContainer('web', 'exec httpd -f -p 80 -h /'));
  const ip = (await stack.runtime.podSandboxStatus(pod)).status?.network?.ip;
  const traffic = async () => (await podStatsOf(pod))?.network?.defaultInterface;
  const first = await traffic();
  assert.equal(first?.name, 'eth0');
  await until(
    'an answer',
    () =>
      fetch(`http://${ip}/`).then(
        (r) => r.status,
        () => 0,
      ),
    (status) => status !== 0,
  );
  await until(
    'bytes in and out',
    traffic,
    (now) => n(now?.rxBytes) > n(first.rxBytes) && n(now?.txBytes) > n(first.txBytes),
  );
  const onHost = await runPod(
    stack,
    podConfig(stack, 'hostnet', {
      linux: { securityContext: { namespaceOptions: { network: 2 } } },
    }),
  );
  t.after(() => removePod(stack, onHost.podSandboxId));
  assert.equal((await podStatsOf(onHost))?.network, undefined);
});

test('what nobody has is refused, and lists and streams tell the same', async (t) => {
  const labels = { app: 'listed' };
  const pod = await runPod(stack, podConfig(stack, 'listed', { labels }));
  t.after(() => removePod(stack, pod.podSandboxId));
  const other = await runPod(stack, podConfig(stack, 'other'));
  t.after(() => removePod(stack, other.podSandboxId));
  const config = shellContainer('c', 'exec sleep 1000', { labels });
  const id = await startContainer(stack, pod, config);
  await startContainer(stack, other, shellContainer('c', 'exec sleep 1000'));

  const { runtime } = stack;
  const none = 'f'.repeat(64);
  await assert.rejects(runtime.containerStats({ containerId: none }), { kind: 'not-found' });
  await assert.rejects(runtime.podSandboxStats({ podSandboxId: none }), { kind: 'not-found' });

  const filter = { podSandboxId: pod.podSandboxId.slice(0, 13), labelSelector: labels };
  const list = await runtime.listContainerStats({ filter });
  assert.deepEqual(
    list.stats.map((s) => s.attributes?.id),
    [id],
  );
  assert.deepEqual(
    (await runtime.listContainerStats({ filter: { ...filter, id: none } })).stats,
    [],
  );
  const pods = await runtime.listPodSandboxStats({ filter: { labelSelector: labels } });
  assert.deepEqual(
    pods.stats.map((s) => s.attributes?.id),
    [pod.podSandboxId],
  );

  const all = (await runtime.listContainerStats({})).stats.map((s) => s.attributes?.id);
  const allPods = (await runtime.listPodSandboxStats({})).stats.map((s) => s.attributes?.id);
  assert.ok(all.length >= 2 && allPods.length >= 2);
  const streamed: unknown[] = [];
  for await (const { containerStats } of runtime.streamContainerStats({})) {
    streamed.push(...containerStats.map((s) => s.attributes?.id));
  }
  assert.deepEqual(streamed, all);
  const streamedPods: unknown[] = [];
  for await (const { podSandboxStats } of runtime.streamPodSandboxStats({})) {
    streamedPods.push(...podSandboxStats.map((s) => s.attributes?.id));
  }
  assert.deepEqual(streamedPods, allPods);
});

const needsCrictl = crictl === undefined ? { skip: 'no Go toolchain to build crictl with' } : {};

test('crictl shows the stats of containers and pods', needsCrictl, async (t) => {
  const pod = await runPod(stack, podConfig(stack, 'ctl'));
  t.after(() => removePod(stack, pod.podSandboxId));
  const id = await startContainer(stack, pod, shellContainer('shown', 'exec sleep 1000'));
  const address = `unix://${stack.socket}`;
  const ctl = async (...args: string[]): Promise<string> => {
    // It gives a request two seconds unless told.
    const options = [
      '--runtime-endpoint',
      address,
      '--image-endpoint',
      address,
      '--timeout',
      '60s',
    ];
    const { exitCode, stdout, stderr } = await run(String(crictl), [...options, ...args]);
    assert.equal(exitCode, 0, `crictl ${args.join(' ')}: ${stderr.toString()}`);
    return stdout.toString();
  };
  assert.match(await ctl('stats', '--seconds', '1'), new RegExp(`${id.slice(0, 13)} +shown +\\d`));
  const pods = await ctl('statsp', '--seconds', '1');
  assert.match(pods, new RegExp(`ctl +${pod.podSandboxId.slice(0, 13)} +\\d`));
});

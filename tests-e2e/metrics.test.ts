import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Metric, PodSandboxMetrics } from '@gantry/proto';
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

const stack = await stackForTests();

const metricsOf = async (pod: RunningPod): Promise<PodSandboxMetrics> => {
  const { podMetrics } = await stack.runtime.listPodSandboxMetrics({});
  return podMetrics.find((m) => m.podSandboxId === pod.podSandboxId) ?? assert.fail('no metrics');
};
const figureOf = (metrics: readonly Metric[], name: string, ...labels: string[]): number => {
  const found = metrics.find(
    (m) => m.name === name && labels.every((label) => m.labelValues.includes(label)),
  );
  assert.ok(found, `${name} ${labels.join()} is told`);
  return Number(found.value?.value);
};

/** What critest (pod.go) asks of a runtime; those that a host may lack are left out. */
const alwaysTold = [
  'container_cpu_cfs_periods_total',
  'container_cpu_cfs_throttled_periods_total',
  'container_cpu_cfs_throttled_seconds_total',
  'container_cpu_system_seconds_total',
  'container_cpu_usage_seconds_total',
  'container_cpu_user_seconds_total',
  'container_file_descriptors',
  'container_fs_inodes_free',
  'container_fs_inodes_total',
  'container_fs_limit_bytes',
  'container_fs_usage_bytes',
  'container_last_seen',
  'container_memory_cache',
  'container_memory_failcnt',
  'container_memory_failures_total',
  'container_memory_kernel_usage',
  'container_memory_mapped_file',
  'container_memory_max_usage_bytes',
  'container_memory_rss',
  'container_memory_swap',
  'container_memory_usage_bytes',
  'container_memory_working_set_bytes',
  'container_network_receive_bytes_total',
  'container_network_receive_errors_total',
  'container_network_receive_packets_dropped_total',
  'container_network_receive_packets_total',
  'container_network_transmit_bytes_total',
  'container_network_transmit_errors_total',
  'container_network_transmit_packets_dropped_total',
  'container_network_transmit_packets_total',
  'container_oom_events_total',
  'container_processes',
  'container_sockets',
  'container_spec_cpu_period',
  'container_spec_cpu_quota',
  'container_spec_cpu_shares',
  'container_spec_memory_limit_bytes',
  'container_spec_memory_reservation_limit_bytes',
  'container_spec_memory_swap_limit_bytes',
  'container_start_time_seconds',
  'container_threads',
  'container_threads_max',
  'container_ulimits_soft',
];

test('a container that works is told by the names and labels that a kubelet knows', async () => {
  const pod = await runPod(stack, podConfig(stack, 'busy'));
  const id = await startContainer(
    stack,
    pod,
    shellContainer(
      'work',
      // Throttled: it wants all of a CPU and may have a fifth.
      `dd if=/dev/zero of=/kept bs=1M count=8 2>/dev/null; sync
       httpd -p 80 -h /www; ping -c 3 -s 1000 ${stack.addressPrefix}1; i=0; while :; do i=$((i+1)); done`,
      {
        linux: {
          resources: { cpuPeriod: 100_000n, cpuQuota: 20_000n, memoryLimitInBytes: 64n << 20n },
        },
      },
    ),
  );
  const { descriptors } = await stack.runtime.listMetricDescriptors({});
  const found = await until(
    'it was throttled for a second, and its ping has ended',
    () => metricsOf(pod),
    ({ metrics, containerMetrics: [own] }) =>
      figureOf(own?.metrics ?? [], 'container_cpu_cfs_throttled_seconds_total') >= 1 &&
      figureOf(metrics, 'container_network_transmit_bytes_total', 'eth0') > 3000 &&
      figureOf(own?.metrics ?? [], 'container_fs_usage_bytes') >= 8 << 20 &&
      figureOf(own?.metrics ?? [], 'container_processes') === 2,
    60_000,
  );
  const [own] = found.containerMetrics;
  assert.equal(own?.containerId, id);
  const all = [...found.metrics, ...own.metrics];
  const told = new Set(all.map(({ name }) => name));
  assert.deepEqual(
    alwaysTold.filter((name) => !told.has(name)),
    [],
  );
  for (const metric of all) {
    const descriptor = descriptors.find(({ name }) => name === metric.name);
    assert.equal(metric.labelValues.length, descriptor?.labelKeys.length, metric.name);
  }
  const labels = descriptors.find(({ name }) => name === 'container_memory_rss')?.labelKeys;
  assert.deepEqual(labels, ['container', 'id', 'image', 'name', 'namespace', 'pod']);
  const { labelValues } = own.metrics.find((m) => m.name === 'container_memory_rss') ?? {};
  assert.deepEqual(labelValues, [
    'work',
    `${stack.cgroupParent}/${id}`,
    'localhost/e2e/busybox:1',
    id,
    'e2e',
    'busy',
  ]);

  assert.ok(figureOf(own.metrics, 'container_cpu_cfs_throttled_periods_total') > 5);
  assert.equal(figureOf(own.metrics, 'container_spec_cpu_quota'), 20_000);
  assert.equal(figureOf(own.metrics, 'container_spec_memory_limit_bytes'), 64 << 20);
  assert.ok(figureOf(own.metrics, 'container_memory_max_usage_bytes') > 1 << 20);
  assert.equal(figureOf(own.metrics, 'container_processes'), 2);
  assert.ok(figureOf(own.metrics, 'container_sockets') >= 1);
  assert.ok(figureOf(own.metrics, 'container_file_descriptors') >= 4);
  assert.ok(figureOf(own.metrics, 'container_fs_limit_bytes') > 64 << 20);
  const started = figureOf(own.metrics, 'container_start_time_seconds');
  assert.ok(Math.abs(started - Date.now() / 1000) < 120);
  assert.ok(figureOf(found.metrics, 'container_network_transmit_bytes_total', 'eth0') > 3000);
  assert.ok(figureOf(found.metrics, 'container_network_transmit_packets_total', 'eth0') >= 3);
  await removePod(stack, pod.podSandboxId);
});

test('a container that was killed for want of memory has an event', async () => {
  const pod = await runPod(stack, podConfig(stack, 'hungry'));
  // The shell outlives its child, so that its cgroup is there to be read.
  await startContainer(
    stack,
    pod,
    shellContainer('eater', 'dd if=/dev/zero of=/dev/null bs=200M count=1; sleep 1000', {
      linux: { resources: { memoryLimitInBytes: 30n << 20n, memorySwapLimitInBytes: 30n << 20n } },
    }),
  );
  await until(
    'an event',
    () => metricsOf(pod),
    ({ containerMetrics: [own] }) => figureOf(own?.metrics ?? [], 'container_oom_events_total') > 0,
  );
  await removePod(stack, pod.podSandboxId);
});

test('the stream tells the same pods as the list, in messages, and nothing where there is none', async () => {
  const collect = async () => {
    const pages: string[][] = [];
    for await (const { podSandboxMetrics } of stack.runtime.streamPodSandboxMetrics({})) {
      pages.push(podSandboxMetrics.map(({ podSandboxId }) => podSandboxId));
    }
    return pages;
  };
  assert.deepEqual(await collect(), []);
  assert.deepEqual((await stack.runtime.listPodSandboxMetrics({})).podMetrics, []);
  const pods = [
    await runPod(stack, podConfig(stack, 'one')),
    await runPod(stack, podConfig(stack, 'two')),
  ];
  const { podMetrics } = await stack.runtime.listPodSandboxMetrics({});
  assert.deepEqual(
    (await collect()).flat(),
    podMetrics.map(({ podSandboxId }) => podSandboxId),
  );
  assert.equal(podMetrics.length, 2);
  for (const pod of pods) {
    await removePod(stack, pod.podSandboxId);
  }
});

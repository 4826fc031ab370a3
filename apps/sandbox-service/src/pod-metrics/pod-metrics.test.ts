import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MetricType } from '@gantry/proto';
import {
  containerConfig,
  podConfig,
  runPod,
  startAlone,
  startContainer,
  type TestService,
} from '../testing.ts';
import type { CgroupDetails } from './cgroup-details.ts';

const details: CgroupDetails = {
  cpu: {
    usageNanos: 3_900_000_000n,
    userNanos: 2_500_000_000n,
    systemNanos: 1_000_000_000n,
    periods: 40n,
    throttledPeriods: 7n,
    throttledNanos: 9_000_000_000n,
  },
  memory: {
    usage: 1000n,
    maxUsage: 2000n,
    workingSet: 930n,
    cache: 10n,
    rss: 20n,
    swap: 40n,
    kernel: 44n,
    mappedFile: 30n,
    activeFile: 80n,
    inactiveFile: 70n,
    limitHits: 3n,
    oomKills: 2n,
    faults: { own: { minor: 5n, major: 1n }, all: { minor: 50n, major: 6n } },
  },
  threads: { count: 9n, max: 0n },
  io: [{ device: '8:0', readBytes: 4096n, writeBytes: 512n, reads: 2n, writes: 1n }],
  pressure: {},
};
const pressure = {
  some: { totalNanos: 5_000_000_000n, avg10: 0, avg60: 0, avg300: 0 },
  full: { totalNanos: 3_000_000_000n, avg10: 0, avg60: 0, avg300: 0 },
};

/** The figures of one pod as a scrape shows them: `name{label="value"}` -> value. */
async function scrape(service: TestService): Promise<Map<string, number>> {
  const { descriptors } = await service.call('listMetricDescriptors', {});
  const { podMetrics } = await service.call('listPodSandboxMetrics', {});
  const shown = new Map<string, number>();
  for (const pod of podMetrics) {
    for (const metric of [...pod.metrics, ...pod.containerMetrics.flatMap((c) => c.metrics)]) {
      const found = descriptors.find(({ name }) => name === metric.name);
      assert.ok(found, `${metric.name} has a descriptor`);
      assert.equal(metric.labelValues.length, found.labelKeys.length, metric.name);
      assert.ok(metric.timestamp > 0n);
      const labels = found.labelKeys.map((key, i) => `${key}="${String(metric.labelValues[i])}"`);
      const name = `${metric.name}{${labels.join(',')}}`;
      assert.equal(shown.has(name), false, `${name} is told once`);
      shown.set(name, Number(metric.value?.value));
    }
  }
  return shown;
}

test('a pod shows its network, a container its cgroup, processes, layer and limits', async (t) => {
  const service = await startAlone(t);
  const { figures, host } = service.node;
  const podSandboxId = await runPod(service);
  const { containerId: id } = await service.call('createContainer', {
    podSandboxId,
    config: containerConfig('main', {
      linux: { resources: { cpuShares: 512n, cpuQuota: 20_000n, memoryLimitInBytes: 80_000_000n } },
    }),
    sandboxConfig: podConfig(),
  });
  await service.call('startContainer', { containerId: id });
  figures.measured.set(`/gantry/${id}`, {
    details: { ...details, pressure: { cpu: pressure } },
    hugePages: [{ pageSize: '2MB', usage: 1n, maxUsage: 2n }],
    processes: 4,
    open: { descriptors: 12, sockets: 3 },
    openFilesLimit: 1024n,
  });
  figures.layers.set('/upper', { bytes: 77n, inodes: 3n, mountPoint: '/data' });
  figures.filesystems.set('/data', {
    device: '/dev/vda1',
    sizeBytes: 1000n,
    inodes: 100n,
    inodesFree: 90n,
  });
  figures.devices.set(host.containers.get(podSandboxId)?.init.pid ?? 0, [
    {
      name: 'eth0',
      rxBytes: 1n,
      rxPackets: 2n,
      rxErrors: 3n,
      rxDropped: 4n,
      txBytes: 5n,
      txPackets: 6n,
      txErrors: 7n,
      txDropped: 8n,
    },
  ]);
  const shown = await scrape(service);
  const base = `container="main",id="/gantry/${id}",image="busybox",name="${id}",namespace="default",pod="web"`;
  const podBase = `container="POD",id="/gantry/${podSandboxId}",image="localhost/gantry/pause:1",name="${podSandboxId}",namespace="default",pod="web"`;
  const expected: Record<string, number> = {
    [`container_cpu_usage_seconds_total{${base},cpu="total"}`]: 3,
    [`container_cpu_user_seconds_total{${base}}`]: 2,
    [`container_cpu_cfs_throttled_seconds_total{${base}}`]: 9,
    [`container_memory_working_set_bytes{${base}}`]: 930,
    [`container_memory_max_usage_bytes{${base}}`]: 2000,
    [`container_memory_failures_total{${base},failure_type="pgmajfault",scope="hierarchy"}`]: 6,
    [`container_oom_events_total{${base}}`]: 2,
    [`container_blkio_device_usage_total{${base},device="/dev/8:0",major="8",minor="0",operation="Read"}`]: 4096,
    [`container_fs_writes_total{${base},device="/dev/8:0"}`]: 1,
    [`container_fs_usage_bytes{${base},device="/dev/vda1"}`]: 77,
    [`container_fs_limit_bytes{${base},device="/dev/vda1"}`]: 1000,
    [`container_fs_inodes_free{${base},device="/dev/vda1"}`]: 90,
    [`container_hugetlb_max_usage_bytes{${base},pagesize="2MB"}`]: 2,
    [`container_pressure_cpu_waiting_seconds_total{${base}}`]: 5,
    [`container_pressure_cpu_stalled_seconds_total{${base}}`]: 3,
    [`container_processes{${base}}`]: 4,
    [`container_sockets{${base}}`]: 3,
    [`container_threads{${base}}`]: 9,
    [`container_threads_max{${base}}`]: 0,
    [`container_ulimits_soft{${base},ulimit="max_open_files"}`]: 1024,
    [`container_spec_cpu_shares{${base}}`]: 512,
    [`container_spec_cpu_period{${base}}`]: 100_000,
    [`container_spec_cpu_quota{${base}}`]: 20_000,
    [`container_spec_memory_limit_bytes{${base}}`]: 79_998_976,
    [`container_network_receive_packets_dropped_total{${podBase},interface="eth0"}`]: 4,
    [`container_network_transmit_bytes_total{${podBase},interface="eth0"}`]: 5,
  };
  assert.deepEqual(
    Object.fromEntries(Object.keys(expected).map((key) => [key, shown.get(key)])),
    expected,
  );
  const seen = shown.get(`container_last_seen{${base}}`) ?? 0;
  assert.ok(seen >= (shown.get(`container_start_time_seconds{${base}}`) ?? Infinity));

  // Every metric that is announced is told, but for what this host lacks.
  const { descriptors } = await service.call('listMetricDescriptors', {});
  const told = new Set([...shown.keys()].map((key) => key.split('{', 1)[0]));
  assert.deepEqual(
    descriptors.map(({ name }) => name).filter((name) => !told.has(name)),
    [
      'container_pressure_io_stalled_seconds_total',
      'container_pressure_io_waiting_seconds_total',
      'container_pressure_memory_stalled_seconds_total',
      'container_pressure_memory_waiting_seconds_total',
    ],
  );
});

test('counters and gauges are called so, and every metric has help and labels', async (t) => {
  const service = await startAlone(t);
  const podSandboxId = await runPod(service);
  const id = await startContainer(service, podSandboxId);
  service.node.figures.measured.set(`/gantry/${id}`, {
    details,
    hugePages: [],
    processes: 1,
    open: { descriptors: 0, sockets: 0 },
  });
  const { podMetrics } = await service.call('listPodSandboxMetrics', {});
  const typeOf = (name: string) =>
    podMetrics[0]?.containerMetrics[0]?.metrics.find((m) => m.name === name)?.metricType;
  assert.equal(typeOf('container_cpu_user_seconds_total'), MetricType.COUNTER);
  assert.equal(typeOf('container_memory_rss'), MetricType.GAUGE);
  const { descriptors } = await service.call('listMetricDescriptors', {});
  assert.ok(descriptors.length > 50);
  for (const { name, help, labelKeys } of descriptors) {
    assert.ok(help.length > 5 && new Set(labelKeys).size === labelKeys.length, name);
    assert.deepEqual(labelKeys.slice(0, 2), ['container', 'id']);
  }
});

test('only ready pods and running containers have metrics', async (t) => {
  const service = await startAlone(t);
  const stopped = await runPod(service, 'stopped');
  await startContainer(service, stopped);
  await service.call('stopPodSandbox', { podSandboxId: stopped });
  const ready = await runPod(service, 'ready');
  const id = await startContainer(service, ready);
  service.node.host.exit(id, 0);
  await service.call('stopContainer', { containerId: id, timeout: 0n });
  const { podMetrics } = await service.call('listPodSandboxMetrics', {});
  assert.deepEqual(
    podMetrics.map((pod) => [pod.podSandboxId, pod.containerMetrics.length]),
    [[ready, 0]],
  );
});

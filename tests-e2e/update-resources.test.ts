import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { stackForTests } from './harness/stack-for-tests.ts';

const stack = await stackForTests();

const mebibyte = 1n << 20n;
const limits = { memoryLimitInBytes: 64n * mebibyte, cpuShares: 256n };

/** The limits that a container finds in its own cgroup, by the names of cgroup v1 or v2. */
async function cgroupOf(containerId: string): Promise<{ memory: string; cpu: string }> {
  const script = `cd /sys/fs/cgroup
    if [ -e memory.max ]; then cat memory.max; cat cpu.max
    else cat memory/memory.limit_in_bytes
      echo $(cat cpu/cpu.cfs_quota_us) $(cat cpu/cpu.cfs_period_us); fi`;
  const { stdout, exitCode, stderr } = await stack.runtime.execSync({
    containerId,
    cmd: ['/bin/sh', '-c', script],
  });
  assert.equal(exitCode, 0, Buffer.from(stderr).toString());
  const [memory = '', cpu = ''] = Buffer.from(stdout).toString().trim().split('\n');
  return { memory, cpu: cpu.replace(/^-1 /, 'max ') };
}

async function resourcesOf(containerId: string) {
  const { status } = await stack.runtime.containerStatus({ containerId });
  return status?.resources?.linux;
}

function create(pod: RunningPod, name: string, script: string) {
  const config = shellContainer(name, script, { linux: { resources: limits } });
  return { podSandboxId: pod.podSandboxId, config, sandboxConfig: pod.config };
}

test('limits of a running container change in its cgroup and its status', async () => {
  const pod = await runPod(stack, podConfig(stack, 'update'));
  const { config } = create(pod, 'c', 'exec sleep 1000');
  const containerId = await startContainer(stack, pod, config);
  assert.deepEqual(await cgroupOf(containerId), { memory: '67108864', cpu: 'max 100000' });

  await stack.runtime.updateContainerResources({
    containerId,
    linux: { memoryLimitInBytes: 32n * mebibyte, cpuQuota: 25_000n, cpuPeriod: 50_000n },
  });
  assert.deepEqual(await cgroupOf(containerId), { memory: '33554432', cpu: '25000 50000' });
  const shown = await resourcesOf(containerId);
  assert.deepEqual(
    [shown?.memoryLimitInBytes, shown?.cpuQuota, shown?.cpuPeriod, shown?.cpuShares],
    [32n * mebibyte, 25_000n, 50_000n, 256n],
  );

  await stack.runtime.updateContainerResources({
    containerId,
    linux: { memoryLimitInBytes: 128n * mebibyte },
  });
  assert.deepEqual(await cgroupOf(containerId), { memory: '134217728', cpu: '25000 50000' });
  await removePod(stack, pod.podSandboxId);
});

test('limits of a created container hold from its start', async () => {
  const pod = await runPod(stack, podConfig(stack, 'update-created'));
  const { containerId } = await stack.runtime.createContainer(create(pod, 'c', 'exec sleep 1000'));
  await stack.runtime.updateContainerResources({
    containerId,
    linux: { memoryLimitInBytes: 48n * mebibyte, cpuQuota: 30_000n, cpuPeriod: 100_000n },
  });
  await stack.runtime.startContainer({ containerId });
  assert.deepEqual(await cgroupOf(containerId), { memory: '50331648', cpu: '30000 100000' });
  await removePod(stack, pod.podSandboxId);
});

test('a memory limit below the usage is refused, and the old limits hold', async () => {
  const pod = await runPod(stack, podConfig(stack, 'update-refused'));
  const containerId = await startContainer(
    stack,
    pod,
    create(pod, 'c', 'dd if=/dev/zero of=/dev/shm/full bs=1M count=24; exec sleep 1000').config,
  );
  // dd has written once sleep is the only one left.
  const filled = { containerId, cmd: ['/bin/sh', '-c', 'until pidof sleep; do sleep 0.05; done'] };
  assert.equal((await stack.runtime.execSync({ ...filled, timeout: 20n })).exitCode, 0);
  const before = await cgroupOf(containerId);
  await assert.rejects(
    stack.runtime.updateContainerResources({
      containerId,
      linux: { memoryLimitInBytes: 8n * mebibyte, cpuQuota: 10_000n, cpuPeriod: 100_000n },
    }),
    { kind: 'failed-precondition', message: /runc update: .*memory/ },
  );
  assert.deepEqual(await cgroupOf(containerId), before);
  const shown = await resourcesOf(containerId);
  assert.deepEqual([shown?.memoryLimitInBytes, shown?.cpuQuota], [64n * mebibyte, 0n]);
  await removePod(stack, pod.podSandboxId);
});

test('an exited container can not be updated', async () => {
  const pod = await runPod(stack, podConfig(stack, 'update-exited'));
  const { config } = create(pod, 'c', 'exec sleep 1000');
  const containerId = await startContainer(stack, pod, config);
  await stack.runtime.stopContainer({ containerId, timeout: 0n });
  await assert.rejects(
    stack.runtime.updateContainerResources({ containerId, linux: { cpuShares: 512n } }),
    { kind: 'failed-precondition' },
  );
  assert.equal((await resourcesOf(containerId))?.cpuShares, 256n);
  await removePod(stack, pod.podSandboxId);
});

/*
 * Runs in the virtual machine: Gantry as a systemd unit, cgroup v2, the systemd
 * cgroup driver. Nothing here is undone for the host's sake: the machine ends.
 */
import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { identifyProcess, isRunning, type ProcessId } from '@gantry/host';
import { CgroupDriver, ContainerState, PodSandboxState } from '@gantry/proto';
import {
  closeAndShowLog,
  must,
  type Pod,
  type Running,
  ready,
  removePod,
  runPod,
  runtime,
  shellContainer,
  startContainer,
  startGantry,
  until,
} from './guest.ts';

const slice = 'kubepods-burstable-pod1234.slice';
const sliceDir = `/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/${slice}`;

before(startGantry);
after(closeAndShowLog);

interface Started extends Running, Pod {}

async function start(name: string, handler: string, script: string): Promise<Started> {
  const pod = await runPod(name, { handler, cgroupParent: slice });
  const resources = {
    cpuShares: 512n,
    cpuQuota: 50_000n,
    cpuPeriod: 100_000n,
    memoryLimitInBytes: 64n << 20n,
    unified: { 'memory.low': '1048576' },
  };
  const running = await startContainer(pod, shellContainer('c', script, { resources }));
  return { ...pod, ...running };
}

const cgroupOf = async (pid: number) =>
  join(
    '/sys/fs/cgroup',
    (await readFile(`/proc/${pid}/cgroup`, 'utf8')).trim().slice('0::'.length),
  );

test('the kubelet is told the systemd driver', async () => {
  const { linux } = await runtime().runtimeConfig({});
  assert.equal(linux?.cgroupDriver, CgroupDriver.SYSTEMD);
});

/** The files of a container's own scope. */
async function scopeOf({ pid, containerId }: Started) {
  const cgroup = await cgroupOf(pid);
  assert.ok(cgroup.startsWith(`${sliceDir}/`), cgroup);
  // crun puts its processes one level below, and limits them there.
  const [scope = ''] = /^.*\.scope/.exec(cgroup) ?? [];
  assert.ok(scope.includes(containerId), cgroup);
  return {
    path: scope,
    read: async (file: string) => (await readFile(join(cgroup, file), 'utf8')).trim(),
  };
}

/** What a pod tells of itself: from inside, of its network, and in figures. */
async function look({ containerId, podSandboxId }: Started) {
  const { stdout } = await runtime().execSync({ containerId, cmd: ['cat', '/proc/self/cgroup'] });
  const { status } = await runtime().podSandboxStatus({ podSandboxId });
  const { ip = '', additionalIps = [] } = status?.network ?? {};
  const { stats } = await runtime().containerStats({ containerId });
  const figures = [stats?.memory?.workingSetBytes, stats?.cpu?.usageCoreNanoSeconds];
  return {
    cgroup: Buffer.from(stdout).toString(),
    addresses: [ip, ...additionalIps.map((more) => more.ip)].join(' '),
    figures: figures.map((figure) => figure?.value ?? 0n),
  };
}

for (const handler of ['runc', 'crun']) {
  test(`a pod lives under ${handler}, in scopes of the slice that the kubelet names`, async () => {
    const pod = await start(handler, handler, 'echo hello; exec sleep 1000');
    const { containerId } = pod;
    const scope = await scopeOf(pod);
    assert.equal(await scope.read('memory.max'), String(64 << 20));
    assert.equal(await scope.read('cpu.max'), '50000 100000');
    assert.equal(await scope.read('memory.low'), '1048576');
    // 512 shares, by the older and the newer formula of the OCI runtimes.
    assert.match(await scope.read('cpu.weight'), /^(20|59)$/);

    await runtime().updateContainerResources({
      containerId,
      linux: { memoryLimitInBytes: 96n << 20n, cpuQuota: 25_000n, cpuPeriod: 100_000n },
    });
    assert.equal(await scope.read('memory.max'), String(96 << 20));
    assert.equal(await scope.read('cpu.max'), '25000 100000');

    await runtime().stopContainer({ containerId, timeout: 0n });
    await removePod(pod);
    await assert.rejects(stat(scope.path), { code: 'ENOENT' });
    assert.match(await readFile(`/var/log/pods/${handler}/c.log`, 'utf8'), /stdout F hello/);
    const units = await must('systemctl', 'list-units', '--all', '--plain', '--no-legend');
    assert.ok(!units.includes(containerId), units);
  });

  test(`a pod of ${handler} answers by exec, both addresses and stats`, async () => {
    const name = `${handler}-asked`;
    const pod = await start(name, handler, 'exec sleep 1000');
    const { cgroup, addresses, figures } = await look(pod);
    assert.match(cgroup, /^0::\//);
    assert.match(addresses, /^10\.85\.0\.\d+ fd00:85::[0-9a-f]+$/);
    assert.deepEqual(
      figures.map((value) => value > 0n),
      [true, true],
    );
    await removePod(pod);
  });

  test(`a container of ${handler} that takes too much memory is OOMKilled`, async () => {
    const name = `${handler}-oom`;
    const pod = await start(name, handler, 'sleep 1; x=a; while :; do x=$x$x; done');
    const { containerId } = pod;
    const status = await until(
      'the end',
      async () => (await runtime().containerStatus({ containerId })).status,
      (s) => s?.state === ContainerState.CONTAINER_EXITED,
    );
    assert.equal(status?.reason, 'OOMKilled');
    assert.equal(status.exitCode, 137);
    await removePod(pod);
  });
}

test('pods outlive the unit: its restart, its stop, and its death', async () => {
  const pod = await start('survivor', 'runc', 'exec sleep 1000');
  const process: ProcessId | undefined = await identifyProcess(pod.pid);
  assert.ok(process !== undefined);
  const lives = async () => {
    await ready();
    assert.ok(await isRunning(process));
    const { status } = await runtime().containerStatus({ containerId: pod.containerId });
    assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
    const { status: sandbox } = await runtime().podSandboxStatus({
      podSandboxId: pod.podSandboxId,
    });
    assert.equal(sandbox?.state, PodSandboxState.SANDBOX_READY);
  };
  await must('systemctl', 'restart', 'gantry');
  await lives();
  await must('systemctl', 'stop', 'gantry');
  assert.ok(await isRunning(process));
  await must('systemctl', 'start', 'gantry');
  await lives();
  await must('systemctl', 'kill', '--kill-whom=main', '--signal=SIGKILL', 'gantry');
  await lives();
  await removePod(pod);
  assert.equal(await isRunning(process), false);
});

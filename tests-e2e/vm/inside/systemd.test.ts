/*
 * Runs in the virtual machine: Gantry as a systemd unit, cgroup v2, the systemd
 * cgroup driver. Nothing here is undone for the host's sake: the machine ends.
 */
import assert from 'node:assert/strict';
import { cp, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { identifyProcess, isRunning, type ProcessId, run } from '@gantry/host';
import {
  CgroupDriver,
  ContainerState,
  ImageImport,
  PodSandboxState,
  RuntimeService,
} from '@gantry/proto';
import { dial, type RpcConnection } from '@gantry/rpc';

const image = 'localhost/e2e/busybox:1';
const slice = 'kubepods-burstable-pod1234.slice';
const sliceDir = `/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/${slice}`;

let connection: RpcConnection;
const runtime = () => connection.client(RuntimeService);

async function must(command: string, ...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await run(command, args, { timeoutMs: 300_000 });
  assert.equal(
    exitCode,
    0,
    `${command} ${args.join(' ')}: ${stdout.toString()}${stderr.toString()}`,
  );
  return stdout.toString();
}

async function until<T>(what: string, ask: () => Promise<T>, accept: (answer: T) => boolean) {
  for (const end = Date.now() + 400_000; ; await delay(200)) {
    const answer = await ask();
    if (accept(answer)) {
      return answer;
    }
    assert.ok(Date.now() < end, `${what}: still ${String(answer)}`);
  }
}

/** Until every condition that Status tells is true. */
const ready = () =>
  until(
    'Gantry is ready',
    () =>
      runtime()
        .status({})
        .then(
          ({ status }) => status?.conditions.map((c) => (c.status ? 'ok' : c.message)).join(', '),
          String,
        ),
    (text) => /^(ok(, )?)+$/.test(text ?? ''),
  );

before(async () => {
  await mkdir('/etc/gantry', { recursive: true });
  await mkdir('/etc/cni/net.d', { recursive: true });
  await writeFile(
    '/etc/gantry/config.toml',
    // One process: five that start under emulation take minutes.
    '[services]\ncompact = true\n[runtimes.runc]\nsystemd_cgroup = true\n[runtimes.crun]\nsystemd_cgroup = true\n',
  );
  await writeFile(
    '/etc/cni/net.d/10-vm.conflist',
    JSON.stringify({
      cniVersion: '1.0.0',
      name: 'vm',
      plugins: [
        {
          type: 'bridge',
          bridge: 'gantry0',
          isGateway: true,
          ipMasq: true,
          ipam: {
            type: 'host-local',
            ranges: [[{ subnet: '10.85.0.0/24' }], [{ subnet: 'fd00:85::/64' }]],
            routes: [{ dst: '0.0.0.0/0' }],
          },
        },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    }),
  );
  await cp('/opt/gantry/deploy/systemd/gantry.service', '/etc/systemd/system/gantry.service');
  await must('systemctl', 'daemon-reload');
  await must('systemctl', 'enable', '--now', 'gantry');
  connection = dial('/run/gantry/gantry.sock');
  await ready();
  const importer = connection.client(ImageImport);
  await importer.importImage({ path: '/opt/test-images/busybox', name: image });
});

after(async () => {
  connection.close();
  // What went wrong is told there; the machine and its logs are gone when this ends.
  const log = await run('journalctl', ['-u', 'gantry', '--no-pager', '-n', '60', '-o', 'cat']);
  const services = await run('sh', ['-c', 'tail -n 30 /run/gantry/log/compact.log']);
  process.stdout.write(Buffer.concat([log.stdout, services.stdout]));
});

const podConfig = (name: string) => ({
  metadata: { name, namespace: 'vm', uid: `${name}-uid`, attempt: 0 },
  logDirectory: `/var/log/pods/${name}`,
  linux: { cgroupParent: slice },
});

interface Running {
  readonly podSandboxId: string;
  readonly containerId: string;
  readonly pid: number;
}

async function start(name: string, runtimeHandler: string, script: string): Promise<Running> {
  const config = podConfig(name);
  const { podSandboxId } = await runtime().runPodSandbox({ config, runtimeHandler });
  const { containerId } = await runtime().createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: {
      metadata: { name: 'c', attempt: 0 },
      image: { image },
      command: ['/bin/sh', '-c', script],
      logPath: 'c.log',
      linux: {
        resources: {
          cpuShares: 512n,
          cpuQuota: 50_000n,
          cpuPeriod: 100_000n,
          memoryLimitInBytes: 64n << 20n,
          unified: { 'memory.low': '1048576' },
        },
      },
    },
  });
  await runtime().startContainer({ containerId });
  const { info } = await runtime().containerStatus({ containerId, verbose: true });
  const { pid } = JSON.parse(info['info'] ?? '{}') as { pid: number };
  return { podSandboxId, containerId, pid };
}

async function remove({ podSandboxId }: Running): Promise<void> {
  await runtime().stopPodSandbox({ podSandboxId });
  await runtime().removePodSandbox({ podSandboxId });
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
async function scopeOf({ pid, containerId }: Running) {
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
async function look({ containerId, podSandboxId }: Running) {
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
    await mkdir(`/var/log/pods/${handler}`, { recursive: true });
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
    await remove(pod);
    await assert.rejects(stat(scope.path), { code: 'ENOENT' });
    assert.match(await readFile(`/var/log/pods/${handler}/c.log`, 'utf8'), /stdout F hello/);
    const units = await must('systemctl', 'list-units', '--all', '--plain', '--no-legend');
    assert.ok(!units.includes(containerId), units);
  });

  test(`a pod of ${handler} answers by exec, both addresses and stats`, async () => {
    const name = `${handler}-asked`;
    await mkdir(`/var/log/pods/${name}`, { recursive: true });
    const pod = await start(name, handler, 'exec sleep 1000');
    const { cgroup, addresses, figures } = await look(pod);
    assert.match(cgroup, /^0::\//);
    assert.match(addresses, /^10\.85\.0\.\d+ fd00:85::[0-9a-f]+$/);
    assert.deepEqual(
      figures.map((value) => value > 0n),
      [true, true],
    );
    await remove(pod);
  });

  test(`a container of ${handler} that takes too much memory is OOMKilled`, async () => {
    const name = `${handler}-oom`;
    await mkdir(`/var/log/pods/${name}`, { recursive: true });
    const pod = await start(name, handler, 'sleep 1; x=a; while :; do x=$x$x; done');
    const { containerId } = pod;
    const status = await until(
      'the end',
      async () => (await runtime().containerStatus({ containerId })).status,
      (s) => s?.state === ContainerState.CONTAINER_EXITED,
    );
    assert.equal(status?.reason, 'OOMKilled');
    assert.equal(status.exitCode, 137);
    await remove(pod);
  });
}

test('pods outlive the unit: its restart, its stop, and its death', async () => {
  await mkdir('/var/log/pods/survivor', { recursive: true });
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
  await remove(pod);
  assert.equal(await isRunning(process), false);
});

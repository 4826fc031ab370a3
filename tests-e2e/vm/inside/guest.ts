/* What the tests in the virtual machine share: Gantry as a systemd unit there, and the pods of a test. */
import assert from 'node:assert/strict';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { run } from '@gantry/host';
import {
  type ContainerConfigSchema,
  ImageImport,
  type LinuxContainerResourcesSchema,
  type LinuxContainerSecurityContextSchema,
  type LinuxSandboxSecurityContextSchema,
  type PodSandboxConfigSchema,
  RuntimeService,
} from '@gantry/proto';
import { dial, type RpcClient, type RpcConnection } from '@gantry/rpc';

export const image = 'localhost/e2e/busybox:1';
export const configPath = '/etc/gantry/config.toml';

const socket = '/run/gantry/gantry.sock';
/** Longer than anything takes under emulation on a busy host. */
const patienceMs = 900_000;

// One process: five that start under emulation take minutes.
const config =
  '[services]\ncompact = true\n[runtimes.runc]\nsystemd_cgroup = true\n[runtimes.crun]\nsystemd_cgroup = true\n';

let connection: RpcConnection | undefined;

/** Of the socket; calls wait until somebody listens there. */
function dialed(): RpcConnection {
  connection ??= dial(socket);
  return connection;
}

export const runtime = (): RpcClient<typeof RuntimeService> => dialed().client(RuntimeService);

/** Runs a command that must succeed, and gives what it printed. */
export async function must(command: string, ...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await run(command, args, { timeoutMs: patienceMs });
  assert.equal(
    exitCode,
    0,
    `${command} ${args.join(' ')}: ${stdout.toString()}${stderr.toString()}`,
  );
  return stdout.toString();
}

export async function until<T>(
  what: string,
  ask: () => Promise<T>,
  accept: (answer: T) => boolean,
): Promise<T> {
  for (const end = Date.now() + patienceMs; ; await delay(200)) {
    const answer = await ask();
    if (accept(answer)) {
      return answer;
    }
    assert.ok(Date.now() < end, `${what}: still ${String(answer)}`);
  }
}

/** Until every condition that Status tells is true. */
export const ready = (): Promise<unknown> =>
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

const network = {
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
};

let started: Promise<void> | undefined;

/** Has systemd run Gantry as deploy/ says, unless it does, and gives it the image: once for all files of tests. */
export function startGantry(): Promise<void> {
  started ??= start();
  return started;
}

async function start(): Promise<void> {
  await mkdir('/etc/gantry', { recursive: true });
  await mkdir('/etc/cni/net.d', { recursive: true });
  await writeFile(configPath, config);
  await writeFile('/etc/cni/net.d/10-vm.conflist', JSON.stringify(network));
  await cp('/opt/gantry/deploy/systemd/gantry.service', '/etc/systemd/system/gantry.service');
  await must('systemctl', 'daemon-reload');
  await must('systemctl', 'enable', '--now', 'gantry');
  await ready();
  await importImage(image);
}

export async function importImage(name: string): Promise<void> {
  await dialed().client(ImageImport).importImage({ path: '/opt/test-images/busybox', name });
}

/** Starts Gantry anew, with `more` behind its config: its tables must be others than those in there. */
export async function restartGantry(more = ''): Promise<void> {
  await writeFile(configPath, config + more);
  await must('systemctl', 'restart', 'gantry');
  await ready();
}

/** What went wrong is told there; the machine and its logs are gone when this ends. */
export async function closeAndShowLog(): Promise<void> {
  connection?.close();
  const log = await run('journalctl', ['-u', 'gantry', '--no-pager', '-n', '60', '-o', 'cat']);
  const services = await run('sh', ['-c', 'tail -n 30 /run/gantry/log/compact.log']);
  process.stdout.write(Buffer.concat([log.stdout, services.stdout]));
}

type PodConfig = MessageInitShape<typeof PodSandboxConfigSchema>;
type ContainerConfig = MessageInitShape<typeof ContainerConfigSchema>;
type PodSecurity = MessageInitShape<typeof LinuxSandboxSecurityContextSchema>;
type Resources = MessageInitShape<typeof LinuxContainerResourcesSchema>;
type Security = MessageInitShape<typeof LinuxContainerSecurityContextSchema>;

export interface Pod {
  readonly podSandboxId: string;
  readonly config: PodConfig;
}

export interface Running {
  readonly containerId: string;
  /** As the machine sees it. */
  readonly pid: number;
}

export interface PodRequest {
  readonly cgroupParent?: string;
  readonly security?: PodSecurity;
  readonly handler?: string;
}

/** A pod in the namespace `vm`, without containers. */
export async function runPod(name: string, request: PodRequest = {}): Promise<Pod> {
  const config = {
    metadata: { name, namespace: 'vm', uid: `${name}-uid`, attempt: 0 },
    logDirectory: `/var/log/pods/${name}`,
    linux: { cgroupParent: request.cgroupParent ?? '', securityContext: request.security ?? {} },
  } as PodConfig;
  const runtimeHandler = request.handler ?? '';
  const { podSandboxId } = await runtime().runPodSandbox({ config, runtimeHandler });
  return { podSandboxId, config };
}

/** A container of the busybox image that runs `script`. */
export function shellContainer(
  name: string,
  script: string,
  more: {
    readonly security?: Security;
    readonly resources?: Resources;
    readonly mounts?: ContainerConfig['mounts'];
  } = {},
): ContainerConfig {
  return {
    metadata: { name, attempt: 0 },
    image: { image },
    command: ['/bin/sh', '-c', script],
    logPath: `${name}.log`,
    mounts: more.mounts ?? [],
    linux: { securityContext: more.security ?? {}, resources: more.resources ?? {} },
  } as ContainerConfig;
}

export async function createContainer(pod: Pod, config: ContainerConfig): Promise<string> {
  const { podSandboxId, config: sandboxConfig } = pod;
  const request = { podSandboxId, sandboxConfig, config };
  return (await runtime().createContainer(request)).containerId;
}

export async function startContainer(pod: Pod, config: ContainerConfig): Promise<Running> {
  const containerId = await createContainer(pod, config);
  await runtime().startContainer({ containerId });
  const { info } = await runtime().containerStatus({ containerId, verbose: true });
  const { pid } = JSON.parse(info['info'] ?? '{}') as { pid: number };
  return { containerId, pid };
}

export async function removePod({ podSandboxId }: Pick<Pod, 'podSandboxId'>): Promise<void> {
  await runtime().stopPodSandbox({ podSandboxId });
  await runtime().removePodSandbox({ podSandboxId });
}

/** What a command in a container prints, on both streams, and how it ends. */
export async function execIn(
  { containerId }: Pick<Running, 'containerId'>,
  ...cmd: readonly string[]
): Promise<{ readonly text: string; readonly exitCode: number }> {
  const { stdout, stderr, exitCode } = await runtime().execSync({ containerId, cmd: [...cmd] });
  return { text: Buffer.concat([stdout, stderr]).toString(), exitCode };
}

/** The label of a process, by AppArmor or SELinux: whichever the kernel runs with. */
export async function labelOf(pid: number): Promise<string> {
  return (await readFile(`/proc/${pid}/attr/current`, 'utf8')).replace(/[\0\n]+$/, '');
}

/** What `gantry doctor` found of one thing. */
export async function doctorSays(
  check: string,
): Promise<{ readonly verdict: string; readonly found: string; readonly fix?: string }> {
  const { stdout } = await run('/opt/gantry/gantry', ['doctor', '-o', 'json'], {
    timeoutMs: patienceMs,
  });
  const findings = JSON.parse(stdout.toString()) as (Awaited<ReturnType<typeof doctorSays>> & {
    readonly check: string;
  })[];
  const found = findings.find((finding) => finding.check === check);
  assert.ok(found !== undefined, stdout.toString());
  return found;
}

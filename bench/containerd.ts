import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeService } from '@gantry/proto';
import { dial } from '@gantry/rpc';
import { imageLayout, until } from '@gantry/tests-e2e';

export interface Peer extends AsyncDisposable {
  readonly socket: string;
  readonly pid: number;
}

/** Starts Debian's containerd on directories and a bridge of its own, with the images that the bench runs. */
export async function startContainerd(
  dir: string,
  images: { pause: string; busybox: string },
): Promise<Peer> {
  const socket = join(dir, 'containerd.sock');
  const cni = join(dir, 'cni');
  await mkdir(cni, { recursive: true });
  await writeFile(join(cni, '10-bench.conflist'), bridge(join(dir, 'ipam')));
  const config = join(dir, 'containerd.toml');
  await writeFile(
    config,
    `version = 2
root = "${join(dir, 'root')}"
state = "${join(dir, 'state')}"
[grpc]
address = "${socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "${join(dir, 'opt')}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${images.pause}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "${cni}"
`,
  );
  const server = spawn('containerd', ['--config', config, '--log-level', 'error'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  try {
    await ready(server, socket);
    importImage(dir, socket, 'pause', images.pause);
    importImage(dir, socket, 'busybox', images.busybox);
  } catch (error) {
    server.kill('SIGKILL');
    throw error;
  }
  return {
    socket,
    pid: server.pid ?? 0,
    [Symbol.asyncDispose]: async () => {
      const exited = once(server, 'exit');
      server.kill('SIGTERM');
      await exited;
    },
  };
}

async function ready(server: ChildProcess, socket: string): Promise<void> {
  const connection = dial(socket);
  const runtime = connection.client(RuntimeService);
  try {
    await until(
      'containerd is ready',
      async () => {
        if (server.exitCode !== null) {
          throw new Error(`containerd ended with ${server.exitCode}`);
        }
        return runtime.status({}).then(
          ({ status }) => status?.conditions.every((c) => c.status) ?? false,
          () => false,
        );
      },
      (ok) => ok,
      60_000,
    );
  } finally {
    connection.close();
  }
}

function importImage(dir: string, socket: string, layout: 'pause' | 'busybox', name: string): void {
  const tar = join(dir, `${layout}.tar`);
  must('skopeo', [
    'copy',
    '--quiet',
    `oci:${imageLayout(layout)}`,
    `docker-archive:${tar}:${name}`,
  ]);
  must('ctr', ['-a', socket, '-n', 'k8s.io', 'images', 'import', tar]);
}

function must(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) {
    throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  }
}

/** The same plugins as the stack of the tests, on other addresses. */
function bridge(ipamDir: string): string {
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: 'peer',
    plugins: [
      {
        type: 'bridge',
        bridge: 'gpeer0',
        isGateway: true,
        ipMasq: true,
        ipam: {
          type: 'host-local',
          dataDir: ipamDir,
          ranges: [[{ subnet: '10.89.0.0/24' }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });
}

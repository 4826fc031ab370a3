import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { env } from 'node:process';
import { mountTmpfs, unmount } from '@gantry/host';
import { ImageService, RuntimeService } from '@gantry/proto';
import { dial } from '@gantry/rpc';
import { imageLayout } from './run-dir.ts';
import { busyboxImage, type Stack } from './stack.ts';
import { until } from './until.ts';

/** A directory with `containerd`, `ctr` and `containerd-shim-runc-v2` of a release that has NRI (1.7, better 2.x). */
export const containerdWithNri = env['GANTRY_E2E_CONTAINERD'];

/** Its sockets and clients; what has to do with no client is of the Gantry beside it. */
export interface Containerd extends Stack {
  readonly nriSocket: string;
  /** Where plugins lie that it starts itself. */
  readonly pluginDir: string;
  readonly pluginConfigDir: string;
}

const pauseImage = 'localhost/e2e/pause:1';
/** Its shims have their sockets there, whatever its state directory is. */
const shimSockets = '/run/containerd';

/** Makes the plugin directories below `dir`, has `prepare` fill them and starts containerd, with the network of `stack`. */
export async function startContainerd(
  dir: string,
  stack: Stack,
  prepare: (dirs: Pick<Containerd, 'pluginDir' | 'pluginConfigDir'>) => Promise<void>,
): Promise<Containerd> {
  const bin = containerdWithNri ?? '';
  const socket = join(dir, 'containerd.sock');
  const nriSocket = join(dir, 'nri.sock');
  const dirs = { pluginDir: join(dir, 'plugins'), pluginConfigDir: join(dir, 'conf.d') };
  await mkdir(dirs.pluginDir, { recursive: true });
  await mkdir(dirs.pluginConfigDir, { recursive: true });
  await prepare(dirs);
  const config = join(dir, 'containerd.toml');
  await writeFile(config, configOf({ dir, socket, nriSocket, ...dirs, cni: stack.cniConfDir }));
  await using undo = new AsyncDisposableStack();
  await mkdir(shimSockets, { recursive: true });
  await mountTmpfs({ target: shimSockets, sizeBytes: 16 << 20, mode: 0o711 });
  undo.defer(() => unmount(shimSockets, { detach: true }));
  const server = spawn(join(bin, 'containerd'), ['--config', config, '--log-level', 'error'], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...env, PATH: `${bin}:${env['PATH'] ?? ''}` },
  });
  const exited = once(server, 'exit');
  undo.defer(async () => {
    server.kill('SIGTERM');
    await exited;
  });
  const connection = dial(socket);
  undo.defer(() => {
    connection.close();
  });
  const runtime = connection.client(RuntimeService);
  await until(
    'containerd answers',
    () => {
      if (server.exitCode !== null) {
        throw new Error(`containerd ended with ${server.exitCode}`);
      }
      return runtime.version({}).then(
        () => true,
        () => false,
      );
    },
    (ok) => ok,
    60_000,
  );
  importImage({ bin, dir, socket }, 'pause', pauseImage);
  importImage({ bin, dir, socket }, 'busybox', busyboxImage);
  const running = undo.move();
  return {
    ...stack,
    dir,
    infra: 'pause',
    socket,
    connection,
    runtime,
    images: connection.client(ImageService),
    nriSocket,
    ...dirs,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function configOf(paths: Record<string, string>): string {
  const { dir = '', socket, nriSocket, pluginDir, pluginConfigDir, cni } = paths;
  return `version = 3
root = '${join(dir, 'root')}'
state = '${join(dir, 'state')}'
[grpc]
address = '${socket}'
[plugins.'io.containerd.internal.v1.opt']
path = '${join(dir, 'opt')}'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '${pauseImage}'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['/usr/lib/cni']
conf_dir = '${cni}'
[plugins.'io.containerd.nri.v1.nri']
disable = false
socket_path = '${nriSocket}'
plugin_path = '${pluginDir}'
plugin_config_path = '${pluginConfigDir}'
plugin_registration_timeout = '60s'
plugin_request_timeout = '20s'
`;
}

function importImage(
  { bin, dir, socket }: Record<'bin' | 'dir' | 'socket', string>,
  layout: 'pause' | 'busybox',
  name: string,
): void {
  const tar = join(dir, `${layout}.tar`);
  const source = `oci:${imageLayout(layout)}`;
  must('skopeo', ['copy', '--quiet', source, `docker-archive:${tar}:${name}`]);
  must(join(bin, 'ctr'), ['-a', socket, '-n', 'k8s.io', 'images', 'import', tar]);
}

function must(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) {
    throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  }
}

import { chmod, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { mountTmpfs, run, unmount } from '@gantry/host';
import { ImageService, RuntimeService } from '@gantry/proto';
import { dial, type RpcClient, type RpcConnection } from '@gantry/rpc';
import { cgroupOfRun } from '../setup/cgroups.ts';
import { freePort } from './registry.ts';
import { imageLayout, runDir } from './run-dir.ts';

const gantryCommand = join(dirname(dirname(import.meta.dirname)), 'gantry');

export interface CommandResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A whole Gantry on directories, ports and a bridge of its own. */
export interface Stack extends AsyncDisposable {
  /** What holds the namespaces of its pods. */
  readonly infra: Infra;
  readonly dir: string;
  readonly configFile: string;
  readonly rootDir: string;
  readonly stateDir: string;
  readonly socket: string;
  readonly adminUrl: string;
  readonly cniConfDir: string;
  /** What every pod's address begins with, such as "10.71.3.". */
  readonly addressPrefix: string;
  readonly ipamDir: string;
  readonly cgroupParent: string;
  readonly connection: RpcConnection;
  readonly runtime: RpcClient<typeof RuntimeService>;
  readonly images: RpcClient<typeof ImageService>;
  /** Runs ./gantry with --config of this stack. */
  gantry(...args: string[]): Promise<CommandResult>;
  /** As `gantry`, and throws when it fails. */
  gantryOk(...args: string[]): Promise<string>;
}

export type Infra = 'pause' | 'none';

export interface StackOptions {
  /** GANTRY_E2E_INFRA unless said otherwise, and without that a pause container. */
  readonly infra?: Infra;
  /** More lines of its [cni]. */
  readonly cni?: string;
  /** More lines of config.toml, put at its end. */
  readonly config?: string;
  /** More lines of its table [pods]. */
  readonly pods?: (dir: string) => string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Import localhost/e2e/busybox:1; true unless said otherwise. */
  readonly busybox?: boolean;
  readonly defaultRuntime?: string;
  /** How layers are kept; as GANTRY_E2E_LAYER_STORE says, or what the host can do, unless told. */
  readonly layerStore?: 'auto' | 'erofs' | 'directories';
  /** Put root_dir on a tmpfs of this size, for tests of a full disk. */
  readonly rootDirTmpfsBytes?: number;
  /** Put state_dir on a tmpfs, as /run is on a node. */
  readonly stateDirOnTmpfs?: boolean;
}

let stacks = 0;

/** Starts NATS and every service by `gantry up`, and imports the images that pods need. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const dir = await mkdtemp(join(runDir(), 's-'));
  // The root of a user namespace has to come by, as it may by /run and /var/lib.
  for (const directory of [runDir(), dir]) {
    await chmod(directory, 0o711);
  }
  const index = ++stacks;
  const [natsPort, adminPort] = [await freePort(), await freePort()];
  const paths = {
    dir,
    configFile: join(dir, 'config.toml'),
    rootDir: join(dir, 'root'),
    stateDir: join(dir, 'run'),
    socket: join(dir, 'run', 'gantry.sock'),
    adminUrl: `http://127.0.0.1:${adminPort}`,
    cniConfDir: join(dir, 'cni'),
    addressPrefix: `10.${64 + (process.pid % 128)}.${index}.`,
    ipamDir: join(dir, 'ipam'),
    cgroupParent: `${cgroupOfRun(runDir())}/${basename(dir)}`,
  };
  await mkdir(paths.cniConfDir);
  const bridge = `ge${process.pid % 100_000}n${index}`;
  const subnet = `${paths.addressPrefix}0/24`;
  await writeFile(
    join(paths.cniConfDir, '10-test.conflist'),
    bridgeConfig({ bridge, subnet, ipamDir: paths.ipamDir }),
  );
  await writeFile(
    paths.configFile,
    `root_dir = "${paths.rootDir}"
state_dir = "${paths.stateDir}"
default_runtime = "${options.defaultRuntime ?? 'runc'}"
[grpc]
socket = "${paths.socket}"
[admin]
port = ${adminPort}
[nats]
port = ${natsPort}
[cni]
conf_dir = "${paths.cniConfDir}"
bin_dirs = ["${join(dir, 'plugins')}", "/usr/lib/cni", "/opt/cni/bin"]
${options.cni ?? ''}
[pods]
infra = "${infraOf(options)}"
cgroup_parent = "${paths.cgroupParent}"
${options.pods?.(dir) ?? ''}
[images]
registry_config_path = "${join(dir, 'certs.d')}"
layer_store = "${layerStoreOf(options)}"
${options.config ?? ''}
`,
  );

  const gantry = async (...args: string[]): Promise<CommandResult> => {
    const [verb = '', ...rest] = args;
    const result = await run(gantryCommand, [verb, '--config', paths.configFile, ...rest], {
      env: { ...process.env, ...options.environment },
      timeoutMs: 120_000,
    });
    return {
      exitCode: result.exitCode,
      stdout: result.stdout.toString(),
      stderr: result.stderr.toString(),
    };
  };
  const gantryOk = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await gantry(...args);
    if (exitCode !== 0) {
      throw new Error(`gantry ${args.join(' ')}: exit ${exitCode}\n${stdout}${stderr}`);
    }
    return stdout;
  };

  const down = async (): Promise<void> => {
    await gantry('down', '--pods');
    // The plugin leaves its bridge; the next stack must not find its addresses taken.
    await run('ip', ['link', 'delete', bridge]);
    if (options.rootDirTmpfsBytes !== undefined) {
      await unmount(paths.rootDir, { detach: true });
    }
    if (options.stateDirOnTmpfs === true) {
      await unmount(paths.stateDir, { detach: true });
    }
  };
  try {
    if (options.rootDirTmpfsBytes !== undefined) {
      await mkdir(paths.rootDir);
      await mountTmpfs({
        target: paths.rootDir,
        sizeBytes: options.rootDirTmpfsBytes,
        mode: 0o700,
      });
    }
    if (options.stateDirOnTmpfs === true) {
      await mkdir(paths.stateDir);
      await mountTmpfs({ target: paths.stateDir, sizeBytes: 1 << 30, mode: 0o711 });
    }
    await gantryOk('up');
    if (options.busybox !== false) {
      await gantryOk('image', 'import', imageLayout('busybox'), '--name', busyboxImage);
    }
  } catch (error) {
    await logsOf(paths.stateDir);
    await down();
    throw error;
  }
  const connection = dial(paths.socket);
  return {
    ...paths,
    infra: infraOf(options),
    connection,
    runtime: connection.client(RuntimeService),
    images: connection.client(ImageService),
    gantry,
    gantryOk,
    [Symbol.asyncDispose]: async () => {
      connection.close();
      await down();
    },
  };
}

function infraOf({ infra }: StackOptions): Infra {
  return infra ?? (process.env['GANTRY_E2E_INFRA'] === 'none' ? 'none' : 'pause');
}

function layerStoreOf({ layerStore, rootDirTmpfsBytes }: StackOptions): string {
  // A tmpfs can't back EROFS.
  const usual = rootDirTmpfsBytes === undefined ? process.env['GANTRY_E2E_LAYER_STORE'] : 'auto';
  return layerStore ?? usual ?? 'auto';
}

/** The name under which every stack has the busybox image. */
export const busyboxImage = 'localhost/e2e/busybox:1';

function bridgeConfig({
  bridge,
  subnet,
  ipamDir,
}: Record<'bridge' | 'subnet' | 'ipamDir', string>) {
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: bridge,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        ipMasq: true,
        ipam: {
          type: 'host-local',
          dataDir: ipamDir,
          ranges: [[{ subnet }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });
}

/** Copies the logs of the services to stderr, for a failure that shows only there. */
async function logsOf(stateDir: string): Promise<void> {
  for (const name of ['supervisor', 'cri-gateway', 'image-service', 'sandbox-service']) {
    const text = await readFile(join(stateDir, 'log', `${name}.log`), 'utf8').catch(() => '');
    process.stderr.write(text.split('\n').slice(-20).join('\n'));
  }
}

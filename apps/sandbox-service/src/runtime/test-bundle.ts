import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { findTool, listCgroupProcesses, removeCgroup } from '@gantry/host';
import type { ContainerLaunch, Runtime, RuntimeHandler } from '../ports.ts';
import { openConmonRuntime } from './conmon-runtime.ts';

/** A runtime in a directory of its own, and busybox containers for it; all gone after the test. */
export interface RuntimeBed {
  readonly stateDir: string;
  readonly handler: RuntimeHandler;
  readonly runtime: Runtime;
  /** Makes a bundle; the launch has a log unless told otherwise. */
  bundle(options: BundleOptions): Promise<ContainerLaunch & { readonly logPath: string }>;
}

export interface BundleOptions {
  readonly args: readonly string[];
  readonly tty?: boolean;
  readonly stdin?: boolean;
  readonly stdinOnce?: boolean;
  readonly memoryBytes?: number;
  /** Share the host's pid namespace. */
  readonly hostPid?: boolean;
}

export async function makeRuntimeBed(t: TestContext, tool = 'runc'): Promise<RuntimeBed> {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-runtime-'));
  const stateDir = join(dir, 'state');
  const handler = {
    name: tool,
    path: findTool(tool) ?? tool,
    systemdCgroup: false,
    privilegedWithoutHostDevices: false,
  };
  const runtime = await openConmonRuntime({ stateDir, conmon: 'conmon' });
  const cgroupParent = `/gantry-test-${randomBytes(4).toString('hex')}`;
  t.after(async () => {
    for (const id of await runtime.list(handler)) {
      await runtime.killAll(handler, id);
      await runtime.delete(handler, id);
    }
    await removeCgroup(cgroupParent);
    await rm(dir, { recursive: true, force: true });
  });
  const makeBundle = async (options: BundleOptions): ReturnType<RuntimeBed['bundle']> => {
    const id = `c${randomBytes(6).toString('hex')}`;
    const bundleDir = join(dir, 'bundles', id);
    await mkdir(join(bundleDir, 'rootfs/bin'), { recursive: true });
    await copyFile(findTool('busybox') ?? '/bin/busybox', join(bundleDir, 'rootfs/bin/busybox'));
    const spec = specOf(options, `${cgroupParent}/${id}`);
    await writeFile(join(bundleDir, 'config.json'), JSON.stringify(spec));
    const { tty = false, stdin = false, stdinOnce = false } = options;
    const logPath = join(dir, 'logs', id, '0.log');
    return { id, name: `name-${id}`, handler, bundleDir, logPath, stdin, stdinOnce, tty };
  };
  return { stateDir, handler, runtime, bundle: makeBundle };
}

/** The cgroup of a bundle's container has processes in it. */
export async function hasProcesses(cgroupPath: string): Promise<boolean> {
  return (await listCgroupProcesses(cgroupPath)).length > 0;
}

function specOf(options: BundleOptions, cgroupsPath: string): object {
  const memory = options.memoryBytes;
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: options.tty === true,
      user: { uid: 0, gid: 0 },
      args:
        options.args[0]?.startsWith('/') === true
          ? options.args
          : ['/bin/busybox', ...options.args],
      env: ['PATH=/bin'],
      cwd: '/',
    },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      ...['/lib', '/lib64', '/usr'].map((path) => ({
        destination: path,
        type: 'bind',
        source: path,
        options: ['rbind', 'ro'],
      })),
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['mode=755'] },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['newinstance', 'ptmxmode=0666'],
      },
    ],
    linux: {
      cgroupsPath,
      namespaces: [
        ...(options.hostPid === true ? [] : [{ type: 'pid' }]),
        { type: 'mount' },
        { type: 'ipc' },
        { type: 'uts' },
      ],
      ...(memory === undefined ? {} : { resources: { memory: { limit: memory, swap: memory } } }),
    },
  };
}

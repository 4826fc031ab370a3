import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  access,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { findTool, mountTmpfs, removeCgroup, unmount } from '@gantry/host';
import type { ContainerLaunch, Runtime, RuntimeHandler } from '../ports.ts';
import { openConmonRuntime } from './conmon-runtime.ts';
import { readBundleFacts } from './container-cgroup.ts';

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
  /** Share the pid namespace of this process, as the containers of a pod may. */
  readonly sharePidsOf?: number;
}

/** The tests run with runc; the test of crun runs them again with this set. */
const testedRuntime = process.env['GANTRY_TEST_RUNTIME'] ?? 'runc';

export interface BedOptions {
  /** Put the state directory on a tmpfs of this size, to be filled. */
  readonly stateBytes?: number;
  /** As of openConmonRuntime. */
  readonly exitBytes?: number;
}

export async function makeRuntimeBed(
  t: TestContext,
  options: BedOptions = {},
): Promise<RuntimeBed> {
  const tool = testedRuntime;
  const dir = await mkdtemp(join(tmpdir(), 'gantry-runtime-'));
  const stateDir = join(dir, 'state');
  const handler = {
    name: tool,
    path: findTool(tool) ?? tool,
    systemdCgroup: false,
    privilegedWithoutHostDevices: false,
  };
  const { stateBytes, exitBytes } = options;
  if (stateBytes !== undefined) {
    await mkdir(stateDir);
    await mountTmpfs({ target: stateDir, sizeBytes: stateBytes, mode: 0o711 });
  }
  const runtime = await openConmonRuntime({
    stateDir,
    conmon: 'conmon',
    ...(exitBytes !== undefined && { exitBytes }),
  });
  const cgroupParent = `/gantry-test-${randomBytes(4).toString('hex')}`;
  t.after(async () => {
    for (const id of await runtime.list(handler)) {
      await runtime.killAll(handler, id);
      await runtime.delete(handler, id);
    }
    await removeCgroup(cgroupParent);
    await unmount(join(stateDir, 'exits'), { detach: true });
    await unmount(stateDir, { detach: true });
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

/** Asserts that nothing of the container is left outside of its bundle's own files. */
export async function assertNothingLeft(bed: RuntimeBed, launch: ContainerLaunch): Promise<void> {
  assert.deepEqual(await bed.runtime.list(bed.handler), []);
  assert.deepEqual(await readdir(join(bed.stateDir, 'exits')), []);
  assert.deepEqual((await readdir(launch.bundleDir)).sort(), ['config.json', 'rootfs']);
  const { cgroupPath } = readBundleFacts(launch.bundleDir);
  for (const hierarchy of ['memory', 'pids', 'unified', '']) {
    await assert.rejects(access(join('/sys/fs/cgroup', hierarchy, cgroupPath ?? assert.fail())));
  }
  const conmons = await readdir('/proc');
  for (const pid of conmons.filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    assert.equal(line.includes(launch.id), false, `process ${pid} is left: ${line}`);
  }
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
        ...(options.hostPid === true ? [] : [pidNamespace(options.sharePidsOf)]),
        { type: 'mount' },
        { type: 'ipc' },
        { type: 'uts' },
      ],
      ...(memory === undefined ? {} : { resources: { memory: { limit: memory, swap: memory } } }),
    },
  };
}

function pidNamespace(pid: number | undefined): object {
  return pid === undefined ? { type: 'pid' } : { type: 'pid', path: `/proc/${pid}/ns/pid` };
}

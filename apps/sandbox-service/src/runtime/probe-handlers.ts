import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@gantry/errors';
import { findTool, missingTool, removeCgroup, run } from '@gantry/host';
import type { RuntimeHandler } from '../ports.ts';
import { cgroupDirectoryOf } from './container-cgroup.ts';
import { runtimeEnvironment } from './oci-command.ts';
import { openProbePlace, removeDeadProbes } from './probe-place.ts';
import { runtimeWords } from './runtime-words.ts';

/** One `[runtimes.<name>]` of the configuration, as far as a probe needs it. */
export interface HandlerConfig {
  readonly path: string;
  readonly systemd_cgroup: boolean;
  readonly privileged_without_host_devices: boolean;
}

/** A handler with what the probe has learnt beside. */
export interface ProbedHandler extends RuntimeHandler {
  /** The first line of `<runtime> --version`. */
  readonly version?: string;
}

/** The command that no root file system has; a runtime that misses it has passed all steps before. */
const command = '/gantry-probe';
/** Long, for a host that boots is busy, and a handler that is given up stays so until the next start. */
const timeoutMs = 60_000;

/**
 * Tries every handler on this host, all at once: each creates a container in an empty root file
 * system, which must fail because the command is not there, and for no other reason. Costs about
 * as much as one create, and leaves nothing; what an instance left that was killed meanwhile goes first. Never throws for a handler; `unusable` says why.
 */
export async function probeHandlers(
  runtimes: Readonly<Record<string, HandlerConfig>>,
  stateDir: string,
): Promise<ReadonlyMap<string, ProbedHandler>> {
  await mkdir(stateDir, { recursive: true });
  await removeDeadProbes(stateDir);
  await using place = await openProbePlace(stateDir);
  const names = Object.entries(runtimes);
  const probes = names.map(([name, config]) => probe(name, config, join(place.directory, name)));
  return new Map((await Promise.all(probes)).map((handler) => [handler.name, handler]));
}

async function probe(name: string, config: HandlerConfig, dir: string): Promise<ProbedHandler> {
  const tool = config.path === '' ? name : config.path;
  const path = findTool(tool);
  const handler = {
    name,
    path: path ?? tool,
    systemdCgroup: config.systemd_cgroup,
    privilegedWithoutHostDevices: config.privileged_without_host_devices,
  };
  if (path === undefined) {
    return { ...handler, unusable: missingTool(tool) };
  }
  const [version, told, unusable] = await Promise.all([
    versionOf(path),
    featuresOf(path),
    tryCreate(handler, dir).catch((error: unknown) => messageOf(error)),
  ]);
  const features = told ?? knownFeatures(version);
  return {
    ...handler,
    ...(version === undefined ? {} : { version }),
    ...(features === undefined ? {} : { features }),
    ...(unusable === undefined ? {} : { unusable }),
  };
}

async function versionOf(path: string): Promise<string | undefined> {
  const { exitCode, stdout } = await run(path, ['--version'], options());
  return exitCode === 0 ? stdout.toString().split('\n', 1)[0]?.trim() : undefined;
}

/** `features` (runtime-spec features.md) is younger than many a runtime; crun has it since 1.8.6. */
async function featuresOf(path: string): Promise<unknown> {
  const { exitCode, stdout } = await run(path, ['features'], options());
  try {
    return exitCode === 0 ? (JSON.parse(stdout.toString()) as unknown) : undefined;
  } catch {
    return undefined;
  }
}

/** What the news of crun say of the versions that can't tell themselves: recursive mount options came with 1.4. */
export function knownFeatures(version: string | undefined): unknown {
  const [, major, minor] = /^crun version (\d+)\.(\d+)/.exec(version ?? '') ?? [];
  if (major === undefined || Number(major) * 1000 + Number(minor) < 1004) {
    return undefined;
  }
  return { mountOptions: ['ro', 'rro'] };
}

/** Why the handler cannot create containers here; undefined when it can. */
async function tryCreate(handler: RuntimeHandler, dir: string): Promise<string | undefined> {
  const id = `gantry-probe-${process.pid}-${performance.now().toString(36).replace('.', '')}`;
  const cgroupsPath = handler.systemdCgroup ? `system.slice:gantry:${id}` : `/${id}`;
  await mkdir(join(dir, 'rootfs'), { recursive: true });
  await writeFile(join(dir, 'config.json'), JSON.stringify(probeSpec(cgroupsPath)));
  const flags = [`--root=${join(dir, 'state')}`];
  const create = handler.systemdCgroup ? [...flags, '--systemd-cgroup'] : flags;
  try {
    const result = await run(handler.path, [...create, 'create', '--bundle', dir, id], options());
    const words = runtimeWords(result.stderr.toString()) || runtimeWords(result.stdout.toString());
    if (result.exitCode === 0 || words.includes(command)) {
      return undefined;
    }
    return words === '' ? `create ended with ${result.exitCode ?? result.signal}` : words;
  } finally {
    if ((await readdir(join(dir, 'state')).catch(() => [])).length > 0) {
      await run(handler.path, [...flags, 'delete', '--force', id], options());
    }
    await removeCgroup(cgroupDirectoryOf(cgroupsPath));
  }
}

function options(): { env: Record<string, string>; timeoutMs: number; killGroup: true } {
  return { env: runtimeEnvironment(), timeoutMs, killGroup: true };
}

function probeSpec(cgroupsPath: string): object {
  return {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args: [command], env: ['PATH=/'], cwd: '/' },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      // crun looks into /dev before it looks for the command.
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
    ],
    linux: {
      cgroupsPath,
      namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }, { type: 'uts' }],
    },
  };
}

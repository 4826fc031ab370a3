import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { hasCode } from './system-error.ts';

export interface CgroupHierarchy {
  /** Its mount point. */
  readonly directory: string;
  readonly version: 1 | 2;
  /** Empty for a named v1 hierarchy such as systemd's. */
  readonly controllers: readonly string[];
}

/**
 * `hybrid` is v1 with a v2 tree beside it at `unified`, which may have
 * controllers of its own.
 */
export interface CgroupLayout {
  readonly version: 'v1' | 'v2' | 'hybrid';
  readonly root: string;
  /** Of all hierarchies, sorted. */
  readonly controllers: readonly string[];
  readonly hierarchies: readonly CgroupHierarchy[];
}

// v1 hierarchies that are only there to group processes.
const named = new Set(['systemd', 'elogind', 'openrc']);

/**
 * How cgroups are laid out below `root`: a v2 tree itself, or a directory of v1
 * hierarchies. Throws `failed-precondition` when there are none.
 */
export async function detectCgroups(root = '/sys/fs/cgroup'): Promise<CgroupLayout> {
  const unified = await controllersOf(root);
  if (unified !== undefined) {
    const hierarchy = { directory: root, version: 2, controllers: unified } as const;
    return { version: 'v2', root, controllers: [...unified].sort(), hierarchies: [hierarchy] };
  }
  const hierarchies = await hierarchiesIn(root);
  const hasV1 = hierarchies.some((h) => h.version === 1);
  if (!hasV1) {
    throw new RuntimeError('failed-precondition', `detect cgroups: none mounted at ${root}`);
  }
  return {
    version: hierarchies.some((h) => h.version === 2) ? 'hybrid' : 'v1',
    root,
    controllers: hierarchies.flatMap((h) => h.controllers).sort(),
    hierarchies,
  };
}

/** Where a cgroup lies in the hierarchy of `controller`; undefined when the host lacks that. */
export function cgroupDirectory(
  layout: CgroupLayout,
  controller: string,
  cgroupPath: string,
): string | undefined {
  const hierarchy = layout.hierarchies.find((h) => h.controllers.includes(controller));
  return hierarchy === undefined ? undefined : join(hierarchy.directory, cgroupPath);
}

async function hierarchiesIn(root: string): Promise<CgroupHierarchy[]> {
  const hierarchies: CgroupHierarchy[] = [];
  // Links such as cpu -> cpu,cpuacct are further names of what is there already.
  for (const entry of (await entriesOf(root)).filter((e) => e.isDirectory())) {
    const directory = join(root, entry.name);
    const unified = await controllersOf(directory);
    if (unified !== undefined) {
      hierarchies.push({ directory, version: 2, controllers: unified });
    } else if (await exists(join(directory, 'cgroup.procs'))) {
      const controllers = named.has(entry.name) ? [] : entry.name.split(',');
      hierarchies.push({ directory, version: 1, controllers });
    }
  }
  return hierarchies;
}

async function entriesOf(
  root: string,
): Promise<readonly { readonly name: string; isDirectory(): boolean }[]> {
  try {
    return await readdir(root, { withFileTypes: true });
  } catch (error) {
    throw new RuntimeError('failed-precondition', 'detect cgroups', { cause: error });
  }
}

/** The controllers of a v2 cgroup; undefined for what is no v2 cgroup. */
async function controllersOf(directory: string): Promise<readonly string[] | undefined> {
  try {
    const text = await readFile(join(directory, 'cgroup.controllers'), 'utf8');
    return text.split(/\s+/).filter((name) => name !== '');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) {
      return undefined;
    }
    throw error;
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

import { readdir, readFile, rmdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { RuntimeError } from '@gantry/errors';
import { type CgroupLayout, detectCgroups } from './cgroup-layout.ts';
import { hasCode } from './system-error.ts';

export interface CgroupOptions {
  /** Detected anew when absent. */
  readonly layout?: CgroupLayout;
}

/**
 * The processes in a cgroup and in all below it, in any hierarchy, sorted. The
 * path is relative to the hierarchies' roots. None when it is missing.
 */
export async function listCgroupProcesses(
  cgroupPath: string,
  options: CgroupOptions = {},
): Promise<readonly number[]> {
  const found = new Set<number>();
  for (const directory of await directoriesOf(cgroupPath, options, 'list processes of')) {
    for (const inner of await treeOf(directory)) {
      for (const pid of await processesIn(inner)) {
        found.add(pid);
      }
    }
  }
  return [...found].sort((a, b) => a - b);
}

/**
 * Removes a cgroup and all below it from every hierarchy; missing is a success.
 * It kills nothing, but waits up to `timeoutMs` (5 s unless told) for processes
 * that are dying, then throws `failed-precondition` with those that are left.
 * On abort it rejects with the signal's reason.
 */
export async function removeCgroup(
  cgroupPath: string,
  options: CgroupOptions & { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const directories = await directoriesOf(cgroupPath, options, 'remove');
  const end = performance.now() + (options.timeoutMs ?? 5000);
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    const removed = await Promise.all(directories.map(removeTree));
    if (removed.every(Boolean)) {
      return;
    }
    if (performance.now() > end) {
      const left = await listCgroupProcesses(cgroupPath, options);
      const words = left.length === 0 ? 'it is busy' : `processes in it: ${left.join(', ')}`;
      throw new RuntimeError('failed-precondition', `remove cgroup ${cgroupPath}: ${words}`);
    }
    // A kernel's cgroup empties only after its last process was reaped, and tells nobody in v1.
    await delay(pauseMs);
    options.signal?.throwIfAborted();
  }
}

/** Its directory in each hierarchy, there or not. */
async function directoriesOf(
  cgroupPath: string,
  options: CgroupOptions,
  doing: string,
): Promise<readonly string[]> {
  const path = posix.normalize(`/${cgroupPath}`);
  if (path === '/' || cgroupPath.split('/').includes('..') || cgroupPath.includes('\0')) {
    const message = `${doing} cgroup ${JSON.stringify(cgroupPath)}: not a cgroup below the root`;
    throw new RuntimeError('invalid-argument', message);
  }
  const layout = options.layout ?? (await detectCgroups());
  return layout.hierarchies.map((h) => join(h.directory, path));
}

/** The directories of a tree, children before their parents. */
async function treeOf(directory: string): Promise<readonly string[]> {
  const children = await readdir(directory, { withFileTypes: true }).catch(ifGone([]));
  const below: string[] = [];
  for (const child of children) {
    if (child.isDirectory()) {
      below.push(...(await treeOf(join(directory, child.name))));
    }
  }
  return [...below, directory];
}

async function processesIn(directory: string): Promise<readonly number[]> {
  // A threaded v2 cgroup refuses; the domain above it lists its processes.
  const text = await readFile(join(directory, 'cgroup.procs'), 'utf8').catch(
    ifGone('', 'EOPNOTSUPP'),
  );
  return text.split('\n').filter(Boolean).map(Number);
}

/** Returns false while something in it is busy. */
async function removeTree(directory: string): Promise<boolean> {
  for (const inner of await treeOf(directory)) {
    try {
      await rmdir(inner);
    } catch (error) {
      if (hasCode(error, 'EBUSY', 'ENOTEMPTY')) {
        return false;
      }
      if (!hasCode(error, 'ENOENT')) {
        throw new RuntimeError('internal', `remove cgroup ${inner}`, { cause: error });
      }
    }
  }
  return true;
}

/** A catch handler: what vanished meanwhile counts as `fallback`. ENODEV is a cgroup on its way out. */
function ifGone<T>(fallback: T, ...codes: readonly string[]): (error: unknown) => T {
  return (error) => {
    if (hasCode(error, 'ENOENT', 'ENODEV', 'ENOTDIR', ...codes)) {
      return fallback;
    }
    throw error;
  };
}

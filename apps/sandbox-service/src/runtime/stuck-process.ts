import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cgroupDirectory, detectCgroups } from '@gantry/host';

/** A process that a signal does not end within this time may be frozen. */
const thawAfterMs = 300;

/**
 * Runs `kill`, and thaws the cgroup when that takes long: in cgroup v1 a frozen process does not
 * even die of SIGKILL. (In v2 it does.) Somebody has paused it, by the runtime or by hand.
 */
export async function killThawed<T>(
  cgroupPath: string | undefined,
  kill: () => Promise<T>,
): Promise<T> {
  const timer = setTimeout(() => {
    if (cgroupPath !== undefined) {
      // What can't be thawed is told by what remains.
      thaw(cgroupPath).catch(() => undefined);
    }
  }, thawAfterMs);
  try {
    return await kill();
  } finally {
    clearTimeout(timer);
  }
}

async function thaw(cgroupPath: string): Promise<void> {
  const directory = cgroupDirectory(await detectCgroups(), 'freezer', cgroupPath);
  if (directory !== undefined) {
    await writeFile(join(directory, 'freezer.state'), 'THAWED');
  }
}

/** Why a process does not end, as far as the kernel tells: "sh, frozen by the cgroup /a", "dd, in the kernel (state D, at fuse_wait)". */
export async function describeStuck(pid: number, procRoot = '/proc'): Promise<string> {
  const read = (name: string) =>
    readFile(join(procRoot, String(pid), name), 'utf8').catch(() => '');
  const [stat, wait, cgroups] = await Promise.all([read('stat'), read('wchan'), read('cgroup')]);
  const name = /\((.*)\)/s.exec(stat)?.[1] ?? 'unknown program';
  const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
  const frozenBy = wait.includes('refrigerator')
    ? /^\d+:[^:]*\bfreezer\b[^:]*:(.*)$/m.exec(cgroups)?.[1]
    : undefined;
  if (frozenBy !== undefined) {
    return `${name}, frozen by the cgroup ${frozenBy} or one above it`;
  }
  const place = wait === '' || wait === '0' ? '' : `, at ${wait}`;
  return state === 'D'
    ? `${name}, hangs in the kernel (state D${place}): a device, a network file system or FUSE does not answer`
    : `${name}, in state ${state}${place}`;
}

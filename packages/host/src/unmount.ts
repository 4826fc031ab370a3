import { readdir, readFile, readlink } from 'node:fs/promises';
import { lastErrno, lazily } from './libc.ts';
import { mountInfo } from './mount-info.ts';
import { onPool } from './on-pool.ts';
import { hasCode, requireCleanPath, systemError } from './system-error.ts';

const umount2 = lazily<[string, number]>('umount2', ['str', 'int']);
const detachFlag = 2; // MNT_DETACH
const noFollow = 8; // UMOUNT_NOFOLLOW
const notFound = 2; // ENOENT
const invalid = 22; // EINVAL
const namedAtMost = 5;

/**
 * Unmounts what is on top at `target`. It waits on the libuv pool, for as long as the file
 * system takes to write back. No mount point or no such path is a success.
 * `detach` takes the mount away at once, even when it is in use (MNT_DETACH).
 * A mount in use is an error of code EBUSY that names who holds it.
 */
export async function unmount(
  target: string,
  options: { readonly detach?: boolean } = {},
): Promise<void> {
  const doing = `unmount ${target}`;
  requireCleanPath(target, doing);
  const flags = noFollow | (options.detach === true ? detachFlag : 0);
  if ((await onPool(umount2(), target, flags)) === 0) {
    return;
  }
  // The errno stayed on the pool's thread. Ask again here: a refusal comes before any waiting.
  if (umount2()(target, flags) === 0) {
    return;
  }
  const errno = lastErrno();
  if (errno === invalid || errno === notFound) {
    return;
  }
  const error = systemError(errno, doing);
  throw hasCode(error, 'EBUSY') ? systemError(errno, doing, await holdersOf(target)) : error;
}

/** Mounts below `target`, or else processes with a file or directory open in it, in words. */
async function holdersOf(target: string): Promise<string> {
  const inside = (path: string): boolean => path === target || path.startsWith(`${target}/`);
  const mounts = (await mountInfo()).map((m) => m.mountPoint);
  const below = mounts.filter((m) => m !== target && inside(m));
  if (below.length > 0) {
    return `mounts below it: ${below.slice(0, namedAtMost).join(', ')}`;
  }
  const holders: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (/^\d+$/.test(pid) && (await holds(pid, inside))) {
      holders.push(`${pid} (${await commandOf(pid)})`);
      if (holders.length === namedAtMost) {
        break;
      }
    }
  }
  return holders.length === 0 ? 'in use' : `in use by process ${holders.join(', ')}`;
}

async function holds(pid: string, inside: (path: string) => boolean): Promise<boolean> {
  const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const name of ['cwd', 'root', 'exe', ...fds.map((fd) => `fd/${fd}`)]) {
    const path = await readlink(`/proc/${pid}/${name}`).catch(() => '');
    if (inside(path)) {
      return true;
    }
  }
  return false;
}

async function commandOf(pid: string): Promise<string> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '?')).trim();
}

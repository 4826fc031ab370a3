import { closeSync, openSync } from 'node:fs';
import { checked, lazily } from './libc.ts';
import { onPool } from './on-pool.ts';
import { systemError } from './system-error.ts';

/*
 * What Node's fs lacks for writing an inode as an archive describes it. Paths
 * are bytes, for names need not be UTF-8; a last component that is a symlink is
 * not followed. All are synchronous: they are for worker threads.
 */

const lsetxattr = lazily<[Buffer, string, Buffer, number, number]>('lsetxattr', [
  'void *',
  'str',
  'void *',
  'ulong',
  'int',
]);
const mknod = lazily<[Buffer, number, bigint]>('mknod', ['void *', 'ulong', 'ulong']);
const utimensat = lazily<[number, Buffer, Buffer, number]>('utimensat', [
  'int',
  'void *',
  'void *',
  'int',
]);
const syncfs = lazily<[number]>('syncfs', ['int']);

const currentDirectory = -100; // AT_FDCWD
const noFollow = 0x100; // AT_SYMLINK_NOFOLLOW

/** Sets an extended attribute (lsetxattr(2)); `name` in full, such as `user.x`. */
export function setXattr(path: Buffer, name: string, value: Buffer): void {
  checked(lsetxattr()(cPath(path), name, value, value.length, 0), `set xattr ${name}`);
}

/** Makes a device node or fifo (mknod(2)); `mode` with its type bits, subject to the umask. */
export function makeNode(path: Buffer, mode: number, major: number, minor: number): void {
  checked(mknod()(cPath(path), mode, deviceNumber(major, minor)), 'make node');
}

/** Sets access and modification time, in nanoseconds since the epoch (utimensat(2)). */
export function setTimes(path: Buffer, accessNanos: bigint, modifyNanos: bigint): void {
  const times = Buffer.alloc(32);
  for (const [at, nanos] of [accessNanos, modifyNanos].entries()) {
    const rest = BigInt.asUintN(64, ((nanos % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
    times.writeBigInt64LE((nanos - rest) / 1_000_000_000n, at * 16);
    times.writeBigInt64LE(rest, at * 16 + 8);
  }
  checked(utimensat()(currentDirectory, cPath(path), times, noFollow), 'set times');
}

/** Writes everything of the file system that holds `path` to disk (syncfs(2)), off the main thread. */
export async function syncFilesystem(path: string): Promise<void> {
  const fd = openSync(path, 'r');
  try {
    if ((await onPool(syncfs(), fd)) === -1) {
      // The errno of a pooled call is out of reach; a lost write is what syncfs tells of.
      throw systemError(5, `sync file system of ${path}`);
    }
  } finally {
    closeSync(fd);
  }
}

/** The kernel's dev_t as glibc lays it out (makedev(3)). */
function deviceNumber(major: number, minor: number): bigint {
  const [ma, mi] = [BigInt(major), BigInt(minor)];
  return ((ma & 0xfffn) << 8n) | ((ma & ~0xfffn) << 32n) | (mi & 0xffn) | ((mi & ~0xffn) << 12n);
}

function cPath(path: Buffer): Buffer {
  if (path.length === 0 || path.includes(0)) {
    throw new TypeError('the path is empty or has a NUL in it');
  }
  return Buffer.concat([path, Buffer.alloc(1)]);
}

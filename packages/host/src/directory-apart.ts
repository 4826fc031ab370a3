import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { checked, lazily } from './libc.ts';
import { hasCode, requireCleanPath } from './system-error.ts';

const ioctl = lazily<[number, bigint, Buffer]>('ioctl', ['int', 'ulong', 'void *']);
const getFlags = 0x8008_6601n; // FS_IOC_GETFLAGS
const setFlags = 0x4008_6602n; // FS_IOC_SETFLAGS
const topOfHierarchies = 0x0002_0000; // FS_TOPDIR_FL

/**
 * Makes a directory that has nothing to do with its neighbours, for many files: ext4 takes their
 * inodes from another part of the disk than theirs. It would take all from one part, where each new
 * file first passes by all inodes that were freed there in the last minutes, one by one: 0.3 ms a
 * file after a large image was removed. Like mkdir(2) on other file systems. Synchronous; the parent
 * is the caller's own.
 */
export function makeDirectoryApart(path: string, mode: number): void {
  requireCleanPath(path, 'make directory');
  const parent = openSync(dirname(path), 'r');
  try {
    // As `chattr +T` does. Not for good: what is small is better off near the rest.
    const flags = flagsOf(parent);
    if (flags === undefined || !setFlagsOf(parent, flags | topOfHierarchies)) {
      mkdirSync(path, { mode });
      return;
    }
    try {
      mkdirSync(path, { mode });
    } finally {
      setFlagsOf(parent, flags);
    }
  } finally {
    closeSync(parent);
  }
}

/** undefined where the file system has none. */
function flagsOf(directory: number): number | undefined {
  const flags = Buffer.alloc(8);
  return isKnown(() => ioctl()(directory, getFlags, flags)) ? flags.readInt32LE(0) : undefined;
}

function setFlagsOf(directory: number, value: number): boolean {
  const flags = Buffer.alloc(8);
  flags.writeInt32LE(value, 0);
  return isKnown(() => ioctl()(directory, setFlags, flags));
}

function isKnown(call: () => number): boolean {
  try {
    checked(call(), 'flags of a directory');
    return true;
  } catch (error) {
    // Other file systems refuse in one of these ways.
    if (hasCode(error, 'ENOTTY', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENOSYS', 'EPERM', 'EACCES')) {
      return false;
    }
    throw error;
  }
}

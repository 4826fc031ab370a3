import { chmodSync, fchmodSync, fchownSync, lchownSync } from 'node:fs';
import { hasCode, setTimes, setXattr } from '@gantry/host';
import type { TarEntry } from '@gantry/tar';
import { toBytes } from './in-root.ts';

/** Owner, mode, xattrs and times of an entry, in the order in which none undoes another. */
export function applyAttributes(path: string, entry: TarEntry, fd?: number): void {
  const target = toBytes(path);
  // chown clears setuid bits and file capabilities: it goes first.
  if (fd === undefined) {
    lchownSync(target, entry.uid, entry.gid);
    if (entry.type !== 'symlink') {
      chmodSync(target, entry.mode);
    }
  } else {
    fchownSync(fd, entry.uid, entry.gid);
    fchmodSync(fd, entry.mode);
  }
  for (const [name, value] of entry.xattrs) {
    applyXattr(target, entry, name, value);
  }
  if (entry.type !== 'directory') {
    setTimes(target, entry.mtimeNanos, entry.mtimeNanos);
  }
}

function applyXattr(target: Buffer, entry: TarEntry, name: string, value: Buffer): void {
  // Marks of overlayfs are made by us alone: a layer could hide or redirect what is below it.
  if (name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.')) {
    return;
  }
  try {
    setXattr(target, name, value);
  } catch (error) {
    const isSpecial = entry.type !== 'file' && entry.type !== 'directory';
    // Not on this file system, or (user.*) not on this type of file: containerd goes on as well.
    if (hasCode(error, 'ENOTSUP') || (isSpecial && hasCode(error, 'EPERM'))) {
      return;
    }
    throw error;
  }
}

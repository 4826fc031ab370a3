import { mkdir, open, readdir, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { checked, closeFd, lazily } from './libc.ts';
import { mountInfo } from './mount-info.ts';
import { mountOverlay, type OverlayMount } from './mount-overlay.ts';
import { attachMount, cloneMount, Descriptors } from './mount-syscalls.ts';
import { hasCode, requireCleanPath, SystemError } from './system-error.ts';
import { unmount } from './unmount.ts';

const mountSetattrNumber = 442; // include/uapi/asm-generic/unistd.h
const emptyPath = 0x1000; // AT_EMPTY_PATH
const atRecursive = 0x8000; // AT_RECURSIVE
const readOnlyAttribute = 1n; // MOUNT_ATTR_RDONLY
const idmapAttribute = 0x00100000n; // MOUNT_ATTR_IDMAP
const propagations = { private: 1n << 18n, slave: 1n << 19n }; // MS_PRIVATE, MS_SLAVE
const attributeBytes = 32; // struct mount_attr, version 0
const readOnlyCloexec = 0o2000000; // O_RDONLY | O_CLOEXEC

const openPath = lazily<[string, number]>('open', ['str', 'int']);
const mountSetattr = lazily<[number, number, string, number, Uint8Array, number]>('syscall', [
  'long',
  'long',
  'str',
  'long',
  'void *',
  'long',
]);

export interface IdmappedMount {
  readonly source: string;
  /** Exists, and is a directory where the source is one; without it the mount goes at once. */
  readonly target?: string;
  /** The file of a user namespace: ids are shown as its mappings have them. */
  readonly userNamespace: string;
  /** Takes the mounts below the source along; those that can't map ids as they are. */
  readonly recursive?: boolean;
  readonly readonly?: boolean;
  /**
   * Whether later mounts below the source appear here too; never the other way
   * round, so that to unmount this is no harm to the source. `private` unless told.
   */
  readonly propagation?: keyof typeof propagations;
}

/**
 * Makes `source` appear at `target` with its ids shifted (mount_setattr(2),
 * MOUNT_ATTR_IDMAP; Linux 5.12). Throws a `failed-precondition` where the file system
 * of the source can't do that; nothing is mounted then.
 */
export function mountIdmapped(o: IdmappedMount): Promise<void> {
  return Promise.try(() => {
    const doing = `map the ids of ${o.source}${o.target === undefined ? '' : ` on ${o.target}`}`;
    requireCleanPath(o.source, doing);
    requireCleanPath(o.target ?? '/', doing);
    requireCleanPath(o.userNamespace, doing);
    const recursive = o.recursive === true;
    using held = new Descriptors();
    const mountFd = held.add(cloneMount(o.source, recursive, doing));
    setAttributes(mountFd, o, doing);
    if (o.target !== undefined) {
      attachMount(mountFd, o.target, doing);
    }
  });
}

function setAttributes(mountFd: number, o: IdmappedMount, doing: string): void {
  const userFd = checked(
    openPath()(o.userNamespace, readOnlyCloexec),
    `${doing}: open ${o.userNamespace}`,
  );
  const access = o.readonly === true ? readOnlyAttribute : 0n;
  const propagation = propagations[o.propagation ?? 'private'];
  const idmap = { attributes: idmapAttribute | access, userFd, propagation };
  try {
    if (o.recursive !== true) {
      setAttribute(mountFd, { ...idmap, recursive: false }, doing);
      return;
    }
    try {
      setAttribute(mountFd, { ...idmap, recursive: true }, doing);
    } catch (error) {
      if (!hasCode(error, 'EINVAL', 'EPERM')) {
        throw error;
      }
      // Something below it can't: that is shown as it is.
      setAttribute(mountFd, { attributes: access, userFd: 0, propagation, recursive: true }, doing);
      setAttribute(mountFd, { ...idmap, recursive: false }, doing);
    }
  } catch (error) {
    if (hasCode(error, 'EINVAL', 'EPERM')) {
      const why = 'its file system can not map ids, or they are mapped already';
      throw new SystemError('failed-precondition', 'EINVAL', `${doing}: ${why}`);
    }
    throw error;
  } finally {
    closeFd(userFd);
  }
}

interface Attributes {
  readonly attributes: bigint;
  readonly propagation: bigint;
  readonly userFd: number;
  readonly recursive: boolean;
}

function setAttribute(mountFd: number, o: Attributes, doing: string): void {
  // attr_set, attr_clr, propagation, userns_fd
  const fields = BigUint64Array.of(o.attributes, 0n, o.propagation, BigInt(o.userFd));
  const flags = emptyPath | (o.recursive ? atRecursive : 0);
  const bytes = new Uint8Array(fields.buffer);
  checked(mountSetattr()(mountSetattrNumber, mountFd, '', flags, bytes, attributeBytes), doing);
}

/**
 * An overlay whose lower directories show their ids as the user namespace has
 * them (Linux 5.19): what is copied up belongs to the shifted ids on disk. For the
 * time of the call the lower directories are mounted below `stagingDir`, read-only;
 * `releaseMounts` of it repairs a crash.
 */
export async function mountIdmappedOverlay(
  o: OverlayMount & { readonly userNamespace: string; readonly stagingDir: string },
): Promise<void> {
  const { userNamespace, stagingDir, ...overlay } = o;
  await mkdir(stagingDir, { recursive: true, mode: 0o700 });
  try {
    const lowerDirs: string[] = [];
    for (const [index, source] of o.lowerDirs.entries()) {
      const target = join(stagingDir, String(index));
      await mkdir(target, { recursive: true, mode: 0o700 });
      await mountIdmapped({ source, target, userNamespace, readonly: true });
      lowerDirs.push(target);
    }
    await mountOverlay({ ...overlay, lowerDirs });
  } finally {
    await releaseMounts(stagingDir);
  }
}

/** Makes an empty file or directory to mount on, whichever `source` is; one that is there is fine. */
export async function makeMountPoint(path: string, kind: 'file' | 'directory'): Promise<void> {
  if (kind === 'directory') {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return;
  }
  const file = await open(path, 'a', 0o600);
  await file.close();
}

/**
 * Unmounts everything mounted on the entries of `directory` and removes these
 * entries and it, never anything in a file system that was mounted there. What is
 * in use goes when it is no longer. A directory that is not there is a success.
 */
export async function releaseMounts(directory: string): Promise<void> {
  requireCleanPath(directory, `release mounts in ${directory}`);
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) {
      return undefined;
    }
    throw error;
  });
  if (entries === undefined) {
    return;
  }
  const mounted = (await mountInfo()).map(({ mountPoint }) => mountPoint);
  for (const { name } of entries) {
    const path = join(directory, name);
    // Once for each time that something was mounted here.
    for (const _ of mounted.filter((mountPoint) => mountPoint === path)) {
      await unmount(path, { detach: true });
    }
    await removeEmpty(path);
  }
  await removeEmpty(directory);
}

/** Not rm -r: should anything still be mounted, this fails and nothing is lost. */
async function removeEmpty(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return;
    }
    if (!hasCode(error, 'ENOTDIR')) {
      throw error;
    }
    await unlink(path).catch((cause: unknown) => {
      if (!hasCode(cause, 'ENOENT')) {
        throw cause;
      }
    });
  }
}

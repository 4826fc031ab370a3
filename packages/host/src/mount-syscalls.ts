import { constants, readSync } from 'node:fs';
import { checked, closeFd, lastErrno, lazily } from './libc.ts';
import { requireCleanPath, systemError } from './system-error.ts';

// Numbers from 424 up are the same on every architecture (include/uapi/asm-generic/unistd.h).
const nr = {
  openTree: 428,
  moveMount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  mountSetattr: 442,
};
const cloexec = 1;
const atCwd = -100; // AT_FDCWD
const emptyPath = 0x1000; // AT_EMPTY_PATH
const atRecursive = 0x8000; // AT_RECURSIVE
const openTreeClone = 1;
const moveFromEmptyPath = 4; // MOVE_MOUNT_F_EMPTY_PATH
const setFlagCommand = 0; // FSCONFIG_SET_FLAG
const setString = 1; // FSCONFIG_SET_STRING
const create = 6; // FSCONFIG_CMD_CREATE
const readOnlyAttribute = 1n; // MOUNT_ATTR_RDONLY
const closeOnExec = 0o2000000; // O_CLOEXEC
const openPathOnly = 0o10000000; // O_PATH

const fsopen = lazily<[number, string, number]>('syscall', ['long', 'str', 'long']);
const fsconfig = lazily<[number, number, number, string | null, string | null, number]>('syscall', [
  'long',
  'long',
  'long',
  'str',
  'str',
  'long',
]);
const fsmount = lazily<[number, number, number, number]>('syscall', [
  'long',
  'long',
  'long',
  'long',
]);
const moveMount = lazily<[number, number, string, number, string, number]>('syscall', [
  'long',
  'long',
  'str',
  'long',
  'str',
  'long',
]);
const openTree = lazily<[number, number, string, number]>('syscall', [
  'long',
  'long',
  'str',
  'long',
]);
const mountSetattr = lazily<[number, number, string, number, Uint8Array, number]>('syscall', [
  'long',
  'long',
  'str',
  'long',
  'void *',
  'long',
]);
const mount = lazily<[string, string, string | null, number, string | null]>('mount', [
  'str',
  'str',
  'str',
  'ulong',
  'str',
]);

const openPath = lazily<[string, number]>('open', ['str', 'int']);

/** Descriptors that are closed together when the scope ends, whatever happened. */
export class Descriptors implements Disposable {
  readonly #open: number[] = [];

  add(fd: number): number {
    this.#open.push(fd);
    return fd;
  }

  /** A name of `path` that is short and has no character that any parser knows: valid while this is open. */
  alias(path: string, doing: string): string {
    requireCleanPath(path, doing);
    const fd = checked(
      openPath()(path, openPathOnly | constants.O_DIRECTORY | closeOnExec),
      `${doing}: open ${path}`,
    );
    return `/proc/self/fd/${String(this.add(fd))}`;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.splice(0)) {
      closeFd(fd);
    }
  }
}

/** fsopen(2): a file system under construction. */
export function openFilesystem(type: string, doing: string): number {
  return checked(fsopen()(nr.fsopen, type, cloexec), doing);
}

/** fsconfig(2) with FSCONFIG_SET_STRING; a value is at most 255 bytes. Returns the errno, 0 for success. */
export function trySetOption(fs: number, key: string, value: string): number {
  return fsconfig()(nr.fsconfig, fs, setString, key, value, 0) === -1 ? lastErrno() : 0;
}

export function setOption(fs: number, key: string, value: string, doing: string): void {
  const errno = trySetOption(fs, key, value);
  if (errno !== 0) {
    throw systemError(errno, doing, complaints(fs));
  }
}

export function setFlag(fs: number, key: string, doing: string): void {
  if (fsconfig()(nr.fsconfig, fs, setFlagCommand, key, null, 0) === -1) {
    throw systemError(lastErrno(), doing, complaints(fs));
  }
}

/** Makes the file system as configured, detached: it goes with the returned descriptor. */
export function createDetached(fs: number, doing: string): number {
  if (fsconfig()(nr.fsconfig, fs, create, null, null, 0) === -1) {
    throw systemError(lastErrno(), doing, complaints(fs));
  }
  return checked(fsmount()(nr.fsmount, fs, cloexec, 0), doing);
}

/** open_tree(2): a detached copy of the mount at `source`; it goes with the returned descriptor. */
export function cloneMount(source: string, recursive: boolean, doing: string): number {
  const flags = openTreeClone | closeOnExec | (recursive ? atRecursive : 0);
  return checked(openTree()(nr.openTree, atCwd, source, flags), doing);
}

const attributeBytes = 32; // struct mount_attr, version 0

export function makeReadOnly(mountFd: number, recursive: boolean, doing: string): void {
  const attributes = new BigUint64Array(attributeBytes / 8);
  attributes[0] = readOnlyAttribute;
  const flags = emptyPath | (recursive ? atRecursive : 0);
  const bytes = new Uint8Array(attributes.buffer);
  checked(mountSetattr()(nr.mountSetattr, mountFd, '', flags, bytes, attributeBytes), doing);
}

/** move_mount(2): gives a detached mount its place. */
export function attachMount(mountFd: number, target: string, doing: string): void {
  checked(moveMount()(nr.moveMount, mountFd, '', atCwd, target, moveFromEmptyPath), doing);
}

/** mount(2) as it always was. */
export function mountClassic(
  o: { source: string; target: string; type: string | null; flags: number; data: string | null },
  doing: string,
): void {
  checked(mount()(o.source, o.target, o.type, o.flags, o.data), doing);
}

/** What the kernel wrote about the last refusal, for instance `overlay: upper fs is read-only`. */
function complaints(fs: number): string {
  const buffer = Buffer.alloc(1024);
  const lines: string[] = [];
  try {
    // Each read gives one message; ENODATA ends it.
    for (;;) {
      lines.push(buffer.toString('utf8', 0, readSync(fs, buffer)).trim());
    }
  } catch {
    return lines.map((line) => line.replace(/^[ewi] /, '')).join('; ');
  }
}

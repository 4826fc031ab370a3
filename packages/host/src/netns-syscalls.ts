import { closeSync, mkdirSync, openSync, statfsSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { checked, closeFd, lastErrno, lazily } from './libc.ts';
import { mountClassic } from './mount-syscalls.ts';
import { hasCode, requireCleanPath, systemError } from './system-error.ts';

const unshare = lazily<[number]>('unshare', ['int']);
const setns = lazily<[number, number]>('setns', ['int', 'int']);
const socket = lazily<[number, number, number]>('socket', ['int', 'int', 'int']);
const ioctl = lazily<[number, number, Uint8Array]>('ioctl', ['int', 'ulong', 'void *']);
const umount2 = lazily<[string, number]>('umount2', ['str', 'int']);

const newNet = 0x40000000; // CLONE_NEWNET
const bind = 0x1000; // MS_BIND
const detachNoFollow = 2 | 8; // MNT_DETACH | UMOUNT_NOFOLLOW
const inet = 2; // AF_INET
const datagramCloexec = 2 | 0o2000000; // SOCK_DGRAM | SOCK_CLOEXEC
const getFlags = 0x8913; // SIOCGIFFLAGS
const setFlags = 0x8914; // SIOCSIFFLAGS
const up = 1; // IFF_UP
const nsfsMagic = 0x6e736673; // NSFS_MAGIC
const ifreqBytes = 40;
const ifreqFlagsAt = 16;
const ourNetns = '/proc/thread-self/ns/net';

/** The thread could not go back to the host's network namespace: it must end. */
export class StrandedThread extends RuntimeError {}

/**
 * Makes a network namespace with `lo` up and pins it at `path`. It moves the
 * calling thread there and back, so that no one else may use this thread, and
 * nothing here may be asynchronous. On failure nothing is left.
 */
export function createNetns(path: string, sysctls: Readonly<Record<string, string>>): void {
  const doing = `create network namespace ${path}`;
  requireCleanPath(path, doing);
  const settings = Object.entries(sysctls).map(([name, value]) => ({
    name,
    value,
    file: sysctlFile(name, doing),
  }));
  createPin(path, doing);
  try {
    const host = openSync(ourNetns, 'r');
    try {
      checked(unshare()(newNet), doing);
      try {
        bringLoopbackUp(doing);
        for (const setting of settings) {
          writeSysctl(setting, doing);
        }
        mountClassic(
          { source: ourNetns, target: path, type: null, flags: bind, data: null },
          doing,
        );
      } finally {
        goBack(host, doing);
      }
    } finally {
      closeSync(host);
    }
  } catch (error) {
    removeNetns(path);
    throw error;
  }
}

/** Unpins a network namespace; the kernel ends it when its last process does. Missing is a success. */
export function removeNetns(path: string): void {
  const doing = `remove network namespace ${path}`;
  requireCleanPath(path, doing);
  // Once for each time that it was bound, and never anything else that may be mounted there.
  while (isPinned(path)) {
    checked(umount2()(path, detachNoFollow), doing);
  }
  try {
    unlinkSync(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) {
      throw new RuntimeError('internal', doing, { cause: error });
    }
  }
}

function isPinned(path: string): boolean {
  try {
    return statfsSync(path).type === nsfsMagic;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return false;
    }
    throw error;
  }
}

function createPin(path: string, doing: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
    closeSync(openSync(path, 'wx', 0o444));
  } catch (error) {
    const kind = hasCode(error, 'EEXIST') ? 'already-exists' : 'internal';
    throw new RuntimeError(kind, doing, { cause: error });
  }
}

function goBack(host: number, doing: string): void {
  if (setns()(host, newNet) === -1) {
    const cause = systemError(lastErrno(), "return to the host's network namespace");
    throw new StrandedThread(cause.kind, doing, { cause });
  }
}

function bringLoopbackUp(doing: string): void {
  const step = `${doing}: bring lo up`;
  const fd = checked(socket()(inet, datagramCloexec, 0), step);
  try {
    const request = Buffer.alloc(ifreqBytes);
    request.write('lo');
    checked(ioctl()(fd, getFlags, request), step);
    request.writeInt16LE(request.readInt16LE(ifreqFlagsAt) | up, ifreqFlagsAt);
    checked(ioctl()(fd, setFlags, request), step);
  } finally {
    closeFd(fd);
  }
}

/**
 * The file of a sysctl of the network namespace. As sysctl(8) has it: the first
 * separator tells which one is meant, the other stands for itself (an
 * interface may have a dot in its name).
 */
function sysctlFile(name: string, doing: string): string {
  const slashes = /^[^./]*\//.test(name);
  const parts = slashes
    ? name.split('/')
    : name.split('.').map((part) => part.replaceAll('/', '.'));
  const isWhole = parts.length > 1 && parts.every((p) => p !== '' && p !== '.' && p !== '..');
  if (parts[0] !== 'net' || !isWhole || name.includes('\0')) {
    const message = `${doing}: sysctl ${name} does not belong to a network namespace`;
    throw new RuntimeError('invalid-argument', message);
  }
  return `/proc/sys/${parts.join('/')}`;
}

/** /proc/sys/net shows the namespace of the thread that looks. */
function writeSysctl(o: { name: string; value: string; file: string }, doing: string): void {
  try {
    // Not 'w': O_CREAT on a name that the kernel lacks would tell of permissions.
    writeFileSync(o.file, o.value, { flag: 'r+' });
  } catch (error) {
    const kind = hasCode(error, 'ENOENT', 'EINVAL') ? 'invalid-argument' : 'internal';
    throw new RuntimeError(kind, `${doing}: set sysctl ${o.name}=${o.value}`, { cause: error });
  }
}

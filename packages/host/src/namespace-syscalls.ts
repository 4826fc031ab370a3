import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { checked, closeFd, lastErrno, lazily } from './libc.ts';
import { mountClassic } from './mount-syscalls.ts';
import { type NamespaceKind, namespaceSysctl, type SysctlFile } from './namespace-sysctls.ts';
import type { PinnedNamespaces } from './namespace-worker.ts';
import { hasCode, requireCleanPath, systemError } from './system-error.ts';

const unshare = lazily<[number]>('unshare', ['int']);
const setns = lazily<[number, number]>('setns', ['int', 'int']);
const setresuid = lazily<[number, number, number, number]>('syscall', [
  'long',
  'long',
  'long',
  'long',
]);
const setHostname = lazily<[string, number]>('sethostname', ['str', 'ulong']);
const socket = lazily<[number, number, number]>('socket', ['int', 'int', 'int']);
const ioctl = lazily<[number, number, Uint8Array]>('ioctl', ['int', 'ulong', 'void *']);
const umount2 = lazily<[string, number]>('umount2', ['str', 'int']);

const bind = 0x1000; // MS_BIND
const noSuidDevExec = 2 | 4 | 8; // MS_NOSUID | MS_NODEV | MS_NOEXEC
const detachNoFollow = 2 | 8; // MNT_DETACH | UMOUNT_NOFOLLOW
const inet = 2; // AF_INET
const datagramCloexec = 2 | 0o2000000; // SOCK_DGRAM | SOCK_CLOEXEC
const getFlags = 0x8913; // SIOCGIFFLAGS
const setFlags = 0x8914; // SIOCSIFFLAGS
const up = 1; // IFF_UP
const nsfsMagic = 0x6e736673; // NSFS_MAGIC
const ifreqBytes = 40;
const ifreqFlagsAt = 16;

/** Each kind with its flag of unshare(2), and its file below /proc/<pid>/ns. */
const kinds: Readonly<Record<NamespaceKind, { readonly flag: number; readonly file: string }>> = {
  network: { flag: 0x40000000, file: 'net' }, // CLONE_NEWNET
  ipc: { flag: 0x08000000, file: 'ipc' }, // CLONE_NEWIPC
  uts: { flag: 0x04000000, file: 'uts' }, // CLONE_NEWUTS
};
const ours = (kind: NamespaceKind): string => `/proc/thread-self/ns/${kinds[kind].file}`;

/** The thread could not go back to a namespace of the host: it must end. */
export class StrandedThread extends RuntimeError {}

interface Pin {
  readonly kind: NamespaceKind;
  readonly path: string;
}

/**
 * Makes the namespaces that have a path and pins each there; `lo` is up. It
 * moves the calling thread there and back, so that no one else may use this
 * thread, and nothing here may be asynchronous. On failure nothing is left.
 */
export function createNamespaces(wanted: PinnedNamespaces): void {
  const pins = pinsOf(wanted);
  const names = pins.map(({ kind, path }) => `${kind} namespace ${path}`);
  const doing = `create ${names.join(', ') || 'no namespace'}`;
  const settings = checkSettings(wanted, pins, doing);
  const made: string[] = [];
  try {
    for (const { path } of pins) {
      requireCleanPath(path, doing);
      createPin(path, doing);
      made.push(path);
    }
    within(pins, doing, () => {
      if (wanted.network !== undefined) {
        bringLoopbackUp(doing);
      }
      apply(wanted, settings, doing);
      for (const { kind, path } of pins) {
        const mount = { source: ours(kind), target: path, type: null, flags: bind, data: null };
        mountClassic(mount, doing);
      }
    });
  } catch (error) {
    if (wanted.sysfs !== undefined) {
      umount2()(wanted.sysfs, detachNoFollow);
    }
    made.forEach(removeNamespace);
    throw error;
  }
}

/**
 * Sets what `createNamespaces` would have set in namespaces that are pinned
 * already, as those are that a user namespace owns.
 */
export function configureNamespaces(wanted: PinnedNamespaces): void {
  const pins = pinsOf(wanted);
  const doing = `configure ${pins.map(({ kind, path }) => `${kind} namespace ${path}`).join(', ')}`;
  const settings = checkSettings(wanted, pins, doing);
  try {
    away(pins, doing, () => {
      for (const { kind, path } of pins) {
        requireCleanPath(path, doing);
        const fd = openSync(path, 'r');
        try {
          checked(setns()(fd, kinds[kind].flag), doing);
        } finally {
          closeSync(fd);
        }
      }
      apply(wanted, settings, doing);
    });
  } catch (error) {
    if (wanted.sysfs !== undefined) {
      umount2()(wanted.sysfs, detachNoFollow);
    }
    throw error;
  }
}

/** Sets everything in the namespaces of the thread. */
function apply(
  { hostname, sysfs }: PinnedNamespaces,
  settings: readonly SysctlFile[],
  doing: string,
): void {
  for (const setting of settings) {
    writeSysctl(setting, doing);
  }
  if (hostname !== undefined) {
    checked(setHostname()(hostname, Buffer.byteLength(hostname)), `${doing}: set host name`);
  }
  if (sysfs !== undefined) {
    mountSysfs(sysfs, doing);
  }
}

/** Unpins a namespace; the kernel ends it when its last process does. Missing is a success. */
export function removeNamespace(path: string): void {
  const doing = `remove namespace ${path}`;
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

/**
 * Text of a file as a thread in the network namespace that is pinned at `path`
 * finds it; undefined when nothing is pinned there.
 */
export function readInNetns(path: string, file: string): string | undefined {
  const doing = `read ${file} in network namespace ${path}`;
  requireCleanPath(path, doing);
  if (!isPinned(path)) {
    return undefined;
  }
  const there = openSync(path, 'r');
  try {
    return away([{ kind: 'network', path }], doing, () => {
      checked(setns()(there, kinds.network.flag), doing);
      return readFileSync(file, 'utf8');
    });
  } finally {
    closeSync(there);
  }
}

/** Whether a namespace is pinned at `path`. */
export function isPinned(path: string): boolean {
  try {
    return statfsSync(path).type === nsfsMagic;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return false;
    }
    throw error;
  }
}

function pinsOf({ network, ipc, uts }: PinnedNamespaces): Pin[] {
  return Object.entries({ network, ipc, uts }).flatMap(([kind, path]) =>
    path === undefined ? [] : [{ kind: kind as NamespaceKind, path }],
  );
}

/** What is wrong with a request is found before anything is made. */
function checkSettings(
  { sysctls = {}, hostname, sysfs, network, uts }: PinnedNamespaces,
  pins: readonly Pin[],
  doing: string,
): SysctlFile[] {
  if ((hostname !== undefined && uts === undefined) || (sysfs !== undefined && !network)) {
    throw new RuntimeError('internal', `${doing}: a setting without its namespace`);
  }
  const own = new Set(pins.map(({ kind }) => kind));
  return Object.entries(sysctls).map(([name, value]) => {
    const setting = namespaceSysctl(name, value, doing);
    if (!own.has(setting.kind)) {
      const message = `${doing}: sysctl ${name}: the pod has no ${setting.kind} namespace of its own`;
      throw new RuntimeError('invalid-argument', message);
    }
    return setting;
  });
}

/** Runs `work` in new namespaces of these kinds. */
function within(pins: readonly Pin[], doing: string, work: () => void): void {
  const flags = pins.reduce((all, { kind }) => all | kinds[kind].flag, 0);
  away(pins, doing, () => {
    checked(unshare()(flags), doing);
    work();
  });
}

/** Brings the thread back to the host's namespaces of these kinds after `work`. */
function away<T>(pins: readonly Pin[], doing: string, work: () => T): T {
  const home: { readonly flag: number; readonly fd: number }[] = [];
  try {
    for (const { kind } of pins) {
      home.push({ flag: kinds[kind].flag, fd: openSync(ours(kind), 'r') });
    }
    try {
      return work();
    } finally {
      for (const { flag, fd } of home) {
        goBack(fd, flag, doing);
      }
    }
  } finally {
    for (const { fd } of home) {
      closeSync(fd);
    }
  }
}

function goBack(fd: number, flag: number, doing: string): void {
  if (setns()(fd, flag) === -1) {
    const kind = Object.entries(kinds).find(([, known]) => known.flag === flag)?.[0] ?? '';
    const cause = systemError(lastErrno(), `return to the host's ${kind} namespace`);
    throw new StrandedThread(cause.kind, doing, { cause });
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

function mountSysfs(target: string, doing: string): void {
  const step = `${doing}: mount sysfs ${target}`;
  requireCleanPath(target, step);
  mkdirSync(target, { recursive: true, mode: 0o700 });
  mountClassic({ source: 'sysfs', target, type: 'sysfs', flags: noSuidDevExec, data: null }, step);
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

/** Runs `work` as another user. The wrapper of libc would change all threads, not this one alone. */
function asUser(uid: number, doing: string, work: () => void): void {
  checked(become(uid), `${doing}: become user ${uid}`);
  try {
    work();
  } finally {
    becomeRoot(doing);
  }
}

function become(effectiveUid: number): number {
  return setresuid()(process.arch === 'arm64' ? 147 : 117, -1, effectiveUid, -1);
}

function becomeRoot(doing: string): void {
  if (become(0) === -1) {
    const cause = systemError(lastErrno(), 'become root again');
    throw new StrandedThread(cause.kind, doing, { cause });
  }
}

/** /proc/sys shows the namespaces of the thread that looks. */
function writeSysctl({ name, value, file }: SysctlFile, doing: string): void {
  // Not 'w': O_CREAT on a name that the kernel lacks would tell of permissions.
  const write = (): void => {
    writeFileSync(file, value, { flag: 'r+' });
  };
  try {
    try {
      write();
    } catch (error) {
      if (!hasCode(error, 'EACCES')) {
        throw error;
      }
      // Those of an IPC namespace can be set by the root of its users alone, whatever ours may do.
      asUser(statSync(file).uid, doing, write);
    }
  } catch (error) {
    if (error instanceof StrandedThread) {
      throw error;
    }
    const kind = hasCode(error, 'ENOENT', 'EINVAL', 'ERANGE') ? 'invalid-argument' : 'internal';
    throw new RuntimeError(kind, `${doing}: set sysctl ${name}=${value} (${file})`, {
      cause: error,
    });
  }
}

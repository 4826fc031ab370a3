import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  bindMount,
  cgroupDirectory,
  createUserNamespace,
  detectCgroups,
  hasCode,
  isKnownLabel,
  isRunning,
  labelTree,
  lockFile,
  makeMountPoint,
  mountIdmapped,
  mountIdmappedOverlay,
  mountOverlay,
  mountTmpfs,
  type NamespaceWorker,
  releaseMounts,
  tryLockFile,
  unmount,
  waitForExit,
} from '@gantry/host';
import type { Logger } from '@gantry/telemetry';
import type { Locks, Mounts, Namespaces, Processes, ProcessId } from '../ports.ts';

/** The host's mounts. One that a stray process sits in is detached, so that no pod is stuck in its removal. */
export function hostMounts(log: Pick<Logger, 'warn'>): Mounts {
  return {
    async overlay({ userNamespace, stagingDir, ...mount }) {
      await (userNamespace === undefined || stagingDir === undefined
        ? mountOverlay(mount)
        : mountIdmappedOverlay({ ...mount, userNamespace, stagingDir }));
    },
    layers: mountLayers,
    async shifted({ source, target, userNamespace, isFile, followsHost }) {
      await makeMountPoint(target, isFile ? 'file' : 'directory');
      const propagation = followsHost ? 'slave' : 'private';
      await mountIdmapped({ source, target, userNamespace, recursive: true, propagation });
    },
    releaseAll: releaseMounts,
    tmpfs: mountTmpfs,
    relabel: labelTree,
    knowsLabel: (label) => isKnownLabel(label),
    async unmount(target) {
      try {
        await unmount(target);
      } catch (err) {
        if (!hasCode(err, 'EBUSY')) {
          throw err;
        }
        log.warn({ err, target }, 'mount is in use: detaching it');
        await unmount(target, { detach: true });
      }
    },
  };
}

/** Namespaces of the worker; those of users are made by a process. */
export function hostNamespaces(worker: NamespaceWorker): Namespaces {
  return {
    create: (namespaces) => worker.create(namespaces),
    configure: (namespaces) => worker.configure(namespaces),
    remove: (path) => worker.remove(path),
    isPinned: (path) => worker.isPinned(path),
    createUsers: createUserNamespace,
    createNetns: (path) => worker.createNetns(path),
    removeNetns: (path) => worker.removeNetns(path),
  };
}

/** overlayfs wants two lower directories where there is no upper one. */
async function mountLayers({
  lowerDirs,
  target,
  userNamespace,
  stagingDir,
  label,
}: Parameters<Mounts['layers']>[0]): Promise<void> {
  // A bind shows the labels of its source. The mount point is empty: it is a layer like any other.
  const layers = label === undefined ? lowerDirs : [...lowerDirs, target];
  const [source, another] = layers;
  if (source !== undefined && another === undefined) {
    await (userNamespace === undefined
      ? bindMount({ source, target, readonly: true })
      : mountIdmapped({ source, target, userNamespace, readonly: true }));
    return;
  }
  await (userNamespace === undefined || stagingDir === undefined
    ? mountOverlay({ lowerDirs: layers, target, label })
    : mountIdmappedOverlay({ lowerDirs: layers, target, label, userNamespace, stagingDir }));
}

/** Lock files; each is unlinked when it is let go, so that none outlives its pod. */
export const hostLocks: Locks = {
  lock: (path, { signal } = {}) =>
    lockFile(path, signal === undefined ? { remove: true } : { remove: true, signal }),
  tryLock: (path) => tryLockFile(path, { remove: true }),
};

export const hostProcesses: Processes = {
  isRunning,
  waitForExit,
  allowance,
  allowanceIn,
};

async function allowance({ pid }: ProcessId): Promise<{ cpus: string; mems: string }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const list = (field: string): string =>
    new RegExp(`^${field}_allowed_list:\\s*(\\S+)$`, 'm').exec(status)?.[1] ?? '';
  return { cpus: list('Cpus'), mems: list('Mems') };
}

async function allowanceIn(cgroupPath: string): Promise<{ cpus: string; mems: string }> {
  const directory = cgroupDirectory(await detectCgroups(), 'cpuset', cgroupPath);
  // v1 has both; in v2 the plain file may be empty, which means the parent's.
  const list = async (name: string): Promise<string> => {
    const files = [`cpuset.${name}.effective`, `cpuset.effective_${name}`, `cpuset.${name}`];
    for (const file of directory === undefined ? [] : files) {
      const text = await readFile(join(directory ?? '', file), 'utf8').catch(() => '');
      if (text.trim() !== '') {
        return text.trim();
      }
    }
    return '';
  };
  return { cpus: await list('cpus'), mems: await list('mems') };
}

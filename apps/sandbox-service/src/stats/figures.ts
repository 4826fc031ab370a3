import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { directoryUsage, type NamespaceWorker } from '@gantry/host';
import { CgroupReader } from './cgroup-reader.ts';
import type { CgroupReading } from './cgroup-reading.ts';
import { type NetworkDevice, parseNetworkDevices } from './network-devices.ts';
import { readSmallFile } from './read-small-file.ts';
import type { LayerUsage } from './writable-layers.ts';

/** Where stats come from: files of the kernel, no process is run for them. */
export interface Figures {
  /** Nothing is in the reading of a cgroup that is gone. */
  cgroup(cgroupPath: string): Promise<CgroupReading>;
  /** How many processes are in a cgroup and below. */
  countProcesses(cgroupPath: string): Promise<number>;
  /** Those of a network namespace, that of a process or a pinned one; undefined when it is gone. */
  networkDevices(pidOrPath: number | string): Promise<readonly NetworkDevice[] | undefined>;
  /** Walks the directory; undefined when it is gone. */
  writableLayer(upperDir: string): Promise<LayerUsage | undefined>;
}

export function hostFigures(namespaces: Pick<NamespaceWorker, 'readInNetns'>): Figures {
  const cgroups = new CgroupReader();
  return {
    cgroup: (path) => cgroups.read(path),
    countProcesses: (path) => cgroups.countProcesses(path),
    async networkDevices(pidOrPath) {
      const text =
        typeof pidOrPath === 'number'
          ? await readSmallFile(`/proc/${pidOrPath}/net/dev`)
          : await namespaces.readInNetns(pidOrPath, '/proc/thread-self/net/dev');
      return text === undefined ? undefined : parseNetworkDevices(text);
    },
    async writableLayer(upperDir) {
      const { bytes, inodes } = await directoryUsage(upperDir);
      return inodes === 0
        ? undefined
        : {
            bytes: BigInt(bytes),
            inodes: BigInt(inodes),
            mountPoint: await mountPointOf(upperDir),
          };
    },
  };
}

/** The topmost directory above `path` that is on the same file system. */
export async function mountPointOf(path: string): Promise<string> {
  const { dev } = await stat(path);
  let top = path;
  for (let up = dirname(top); up !== top && (await stat(up)).dev === dev; up = dirname(top)) {
    top = up;
  }
  return top;
}

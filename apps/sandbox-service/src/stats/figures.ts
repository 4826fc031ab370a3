import { statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { directoryUsage, type NamespaceWorker, statFilesystem } from '@gantry/host';
import { isMissing } from '../errno.ts';
import type { CgroupDetails } from '../pod-metrics/cgroup-details.ts';
import { DeviceNames, numbersOf } from '../pod-metrics/device-names.ts';
import type { HugePages } from '../pod-metrics/huge-pages.ts';
import { type OpenFiles, openFilesLimit, openFilesOf } from '../pod-metrics/process-figures.ts';
import { CgroupReader } from './cgroup-reader.ts';
import type { CgroupReading } from './cgroup-reading.ts';
import { InTurns } from './in-turns.ts';
import { type NetworkDevice, parseNetworkDevices } from './network-devices.ts';
import { readSmallFile } from './read-small-file.ts';
import type { LayerUsage } from './writable-layers.ts';

/** What metrics tell of a container's cgroup and processes. */
export interface Measures {
  readonly details: CgroupDetails;
  readonly hugePages: readonly HugePages[];
  readonly processes: number;
  readonly open: OpenFiles;
  /** Of its first process. */
  readonly openFilesLimit?: bigint | undefined;
}

/** The file system that is mounted at a directory. */
export interface FilesystemFigures {
  readonly device: string;
  readonly sizeBytes: bigint;
  readonly inodes: bigint;
  readonly inodesFree: bigint;
}

/** Where stats come from: files of the kernel, no process is run for them. */
export interface Figures {
  /** Nothing is in the reading of a cgroup that is gone. */
  cgroup(cgroupPath: string): Promise<CgroupReading>;
  /** How many processes are in a cgroup and below. */
  countProcesses(cgroupPath: string): Promise<number>;
  /** Those of a network namespace, that of a process or a pinned one; undefined when it is gone. */
  networkDevices(pidOrPath: number | string): Promise<readonly NetworkDevice[] | undefined>;
  /** All that metrics need; dearer than `cgroup`. */
  measures(cgroupPath: string, init: number | undefined): Promise<Measures>;
  /** Undefined when it is gone. */
  filesystem(mountPoint: string): Promise<FilesystemFigures | undefined>;
  /** Of a block device by `<major>:<minor>`, such as /dev/sda. */
  deviceName(numbers: string): string;
  /** Walks the directory; undefined when it is gone. */
  writableLayer(upperDir: string): Promise<LayerUsage | undefined>;
}

export function hostFigures(namespaces: Pick<NamespaceWorker, 'readInNetns'>): Figures {
  const turns = new InTurns();
  const cgroups = new CgroupReader('/sys/fs/cgroup', turns);
  const devices = new DeviceNames();
  return {
    cgroup: (path) => cgroups.read(path),
    countProcesses: (path) => cgroups.countProcesses(path),
    async networkDevices(pidOrPath) {
      const text =
        typeof pidOrPath === 'number'
          ? await turns.run(() => readSmallFile(`/proc/${pidOrPath}/net/dev`))
          : await namespaces.readInNetns(pidOrPath, '/proc/thread-self/net/dev');
      return text === undefined ? undefined : parseNetworkDevices(text);
    },
    async measures(cgroupPath, init) {
      const [{ details, hugePages }, pids, limit] = await Promise.all([
        cgroups.readDetails(cgroupPath),
        cgroups.processesIn(cgroupPath),
        init === undefined ? undefined : turns.run(() => openFilesLimit(init)),
      ]);
      const open = await openFilesOf(pids);
      return { details, hugePages, processes: pids.length, open, openFilesLimit: limit };
    },
    async filesystem(mountPoint) {
      try {
        const [usage, { dev }] = await Promise.all([statFilesystem(mountPoint), stat(mountPoint)]);
        return {
          device: devices.nameOf(numbersOf(dev)),
          sizeBytes: BigInt(usage.totalBytes),
          inodes: BigInt(usage.totalInodes),
          inodesFree: BigInt(usage.freeInodes),
        };
      } catch (error) {
        if (isMissing(error)) {
          return undefined;
        }
        throw error;
      }
    },
    deviceName: (numbers) => devices.nameOf(numbers),
    async writableLayer(upperDir) {
      const { bytes, inodes } = await directoryUsage(upperDir);
      return inodes === 0
        ? undefined
        : {
            bytes: BigInt(bytes),
            inodes: BigInt(inodes),
            mountPoint: await turns.run(() => mountPointOf(upperDir)),
          };
    },
  };
}

/** The topmost directory above `path` that is on the same file system. */
export function mountPointOf(path: string): string {
  const { dev } = statSync(path);
  let top = path;
  for (let up = dirname(top); up !== top && statSync(up).dev === dev; up = dirname(top)) {
    top = up;
  }
  return top;
}

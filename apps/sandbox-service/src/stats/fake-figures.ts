import type { CgroupReading } from './cgroup-reading.ts';
import type { Figures, FilesystemFigures, Measures } from './figures.ts';
import type { NetworkDevice } from './network-devices.ts';
import type { LayerUsage } from './writable-layers.ts';

/** Figures that a test sets; what it did not set is gone from the host. */
export class FakeFigures implements Figures {
  readonly readings = new Map<string, CgroupReading>();
  readonly processes = new Map<string, number>();
  readonly devices = new Map<number | string, readonly NetworkDevice[]>();
  readonly measured = new Map<string, Measures>();
  readonly filesystems = new Map<string, FilesystemFigures>();
  readonly layers = new Map<string, LayerUsage>();

  cgroup(cgroupPath: string): Promise<CgroupReading> {
    return Promise.resolve(this.readings.get(cgroupPath) ?? {});
  }

  countProcesses(cgroupPath: string): Promise<number> {
    return Promise.resolve(this.processes.get(cgroupPath) ?? 0);
  }

  networkDevices(pidOrPath: number | string): Promise<readonly NetworkDevice[] | undefined> {
    return Promise.resolve(this.devices.get(pidOrPath));
  }

  measures(cgroupPath: string): Promise<Measures> {
    const nothing = { details: { io: [], pressure: {} }, hugePages: [], processes: 0 };
    const open = { descriptors: 0, sockets: 0 };
    return Promise.resolve(this.measured.get(cgroupPath) ?? { ...nothing, open });
  }

  filesystem(mountPoint: string): Promise<FilesystemFigures | undefined> {
    return Promise.resolve(this.filesystems.get(mountPoint));
  }

  deviceName(numbers: string): string {
    return `/dev/${numbers}`;
  }

  writableLayer(upperDir: string): Promise<LayerUsage | undefined> {
    return Promise.resolve(this.layers.get(upperDir));
  }
}

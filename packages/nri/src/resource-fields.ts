import { create } from '@bufbuild/protobuf';
import {
  Field,
  type HugepageLimit,
  type LinuxCPU,
  LinuxCPUSchema,
  type LinuxMemory,
  LinuxMemorySchema,
  type LinuxResources,
} from '@gantry/proto/nri';
import type { FieldKey } from './owners.ts';

/** One thing that limits say: where it is owned, and how it is put into others. */
export interface ResourceItem {
  readonly where: FieldKey;
  readonly put: (into: LinuxResources) => void;
}

const memoryItems = [
  ['limit', Field.MemLimit],
  ['reservation', Field.MemReservation],
  ['swap', Field.MemSwapLimit],
  ['kernel', Field.MemKernelLimit],
  ['kernelTcp', Field.MemTCPLimit],
  ['swappiness', Field.MemSwappiness],
  ['disableOomKiller', Field.MemDisableOomKiller],
  ['useHierarchy', Field.MemUseHierarchy],
] as const satisfies readonly (readonly [keyof LinuxMemory, Field])[];

const cpuItems = [
  ['shares', Field.CPUShares],
  ['quota', Field.CPUQuota],
  ['period', Field.CPUPeriod],
  ['realtimeRuntime', Field.CPURealtimeRuntime],
  ['realtimePeriod', Field.CPURealtimePeriod],
  ['cpus', Field.CPUSetCPUs],
  ['mems', Field.CPUSetMems],
] as const satisfies readonly (readonly [keyof LinuxCPU, Field])[];

/** Every limit that is set in `resources`, but for device rules, which nobody owns. */
export function resourceItems(resources: LinuxResources): ResourceItem[] {
  return [
    ...memoryOf(resources),
    ...cpuOf(resources),
    ...hugepagesOf(resources),
    ...classesOf(resources),
    ...Object.entries(resources.unified).map(([key, value]) => ({
      where: { field: Field.CgroupsUnified, key },
      put: (into: LinuxResources) => {
        into.unified[key] = value;
      },
    })),
  ];
}

function memoryOf({ memory }: LinuxResources): ResourceItem[] {
  if (memory === undefined) {
    return [];
  }
  return memoryItems
    .filter(([name]) => memory[name] !== undefined)
    .map(([name, field]) => ({
      where: { field },
      put: (into) => {
        into.memory ??= create(LinuxMemorySchema);
        Object.assign(into.memory, { [name]: memory[name] });
      },
    }));
}

function cpuOf({ cpu }: LinuxResources): ResourceItem[] {
  if (cpu === undefined) {
    return [];
  }
  return cpuItems
    .filter(([name]) => cpu[name] !== undefined && cpu[name] !== '')
    .map(([name, field]) => ({
      where: { field },
      put: (into) => {
        into.cpu ??= create(LinuxCPUSchema);
        Object.assign(into.cpu, { [name]: cpu[name] });
      },
    }));
}

function hugepagesOf({ hugepageLimits }: LinuxResources): ResourceItem[] {
  return hugepageLimits.map((limit: HugepageLimit) => ({
    where: { field: Field.HugepageLimits, key: limit.pageSize },
    put: (into) => {
      const others = into.hugepageLimits.filter(({ pageSize }) => pageSize !== limit.pageSize);
      into.hugepageLimits = [...others, limit];
    },
  }));
}

function classesOf({ blockioClass, rdtClass, pids }: LinuxResources): ResourceItem[] {
  const items: ResourceItem[] = [];
  const add = (field: Field, put: ResourceItem['put']): void => {
    items.push({ where: { field }, put });
  };
  if (blockioClass !== undefined) {
    add(Field.BlockioClass, (into) => {
      into.blockioClass = blockioClass;
    });
  }
  if (rdtClass !== undefined) {
    add(Field.RdtClass, (into) => {
      into.rdtClass = rdtClass;
    });
  }
  if (pids !== undefined) {
    add(Field.PidsLimit, (into) => {
      into.pids = pids;
    });
  }
  return items;
}

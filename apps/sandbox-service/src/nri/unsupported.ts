import { RuntimeError } from '@gantry/errors';
import { mountInfo } from '@gantry/host';
import {
  type ContainerAdjustment,
  IOPrioClass,
  type LinuxContainerAdjustment,
  type LinuxResources,
  LinuxSchedulerPolicy,
} from '@gantry/proto/nri';
import type { ContainerOwners } from '@gantry/proto/nri-broker';
import { boolean, nullish, object, safeParse, string, unknown } from 'valibot';
import type { RuntimeHandler } from '../ports.ts';
import { ownersFor } from './field-owners.ts';

/** One thing that can't be done: the field as owners have it, and why not. */
interface Unsupported {
  readonly field: string;
  readonly why: string;
}

// The parts of `<runtime> features` (OCI runtime spec, features.md) that tell of fields which
// older runtimes pass over in silence.
const featuresSchema = object({
  ociVersionMax: nullish(string(), ''),
  linux: nullish(
    object({
      intelRdt: nullish(
        object({ schemata: nullish(boolean(), false), monitoring: nullish(boolean(), false) }),
      ),
      netDevices: nullish(object({ enabled: nullish(boolean(), false) })),
      memoryPolicy: nullish(unknown()),
    }),
  ),
});

/**
 * Throws `failed-precondition`, with the names of the plugins, for what they want of a container
 * in the making and the OCI runtime or this host would pass over in silence.
 */
export async function refuseUnsupported(
  id: string,
  adjust: ContainerAdjustment,
  owners: readonly ContainerOwners[],
  handler: RuntimeHandler,
): Promise<void> {
  const { linux } = adjust;
  if (linux !== undefined) {
    refuse(id, owners, [
      ...processFaults(linux, handler),
      ...linuxFaults(linux, handler),
      ...(await rdtFaults(linux, handler)),
      ...(linux.resources === undefined ? [] : limitFaults(linux.resources)),
    ]);
  }
}

/** The same of limits of a container that stands; `isRunning`: its processes are there already. */
export function refuseUnsupportedLimits(
  id: string,
  limits: LinuxResources,
  owners: readonly ContainerOwners[],
  isRunning: boolean,
): void {
  const { rdtClass, devices, memory } = limits;
  const later = 'it can be set when a container is created, and not later';
  const { swappiness, disableOomKiller, useHierarchy } = memory ?? {};
  refuse(id, owners, [
    ...limitFaults(limits),
    ...when(rdtClass !== undefined, 'RdtClass', later),
    ...when(devices.length > 0, 'Devices', later),
    ...when(isRunning && swappiness !== undefined, 'MemSwappiness', later),
    ...when(isRunning && disableOomKiller !== undefined, 'MemDisableOomKiller', later),
    ...when(isRunning && useHierarchy !== undefined, 'MemUseHierarchy', later),
  ]);
}

function refuse(id: string, owners: readonly ContainerOwners[], faults: Unsupported[]): void {
  if (faults.length === 0) {
    return;
  }
  const mine = ownersFor(owners, id);
  const words = faults.map(({ field, why }) => {
    const plugin = mine.find((owner) => owner.field === field)?.plugin;
    return `${plugin === undefined ? 'a plugin' : `plugin "${plugin}"`} wants ${field}: ${why}`;
  });
  throw new RuntimeError('failed-precondition', words.join('; '));
}

function limitFaults({ blockioClass, memory }: LinuxResources): Unsupported[] {
  const { kernel, kernelTcp } = memory ?? {};
  const given = 'kernels and OCI runtimes have given up limits of kernel memory';
  const hasClass = blockioClass !== undefined && blockioClass.value !== '';
  return [
    ...when(hasClass, 'BlockioClass', `there is no block I/O class "${blockioClass?.value}"`),
    ...when((kernel?.value ?? 0n) > 0n, 'MemKernelLimit', given),
    ...when((kernelTcp?.value ?? 0n) > 0n, 'MemTCPLimit', given),
  ];
}

function processFaults(
  { ioPriority, scheduler, oomScoreAdj }: LinuxContainerAdjustment,
  handler: RuntimeHandler,
): Unsupported[] {
  const isOld = !knows(handler, 1, 1);
  const why = `OCI runtime "${handler.name}" can not do it: version 1.1 of the OCI is needed`;
  const ioClass = ioPriority?.class ?? IOPrioClass.IOPRIO_CLASS_NONE;
  const policy = scheduler?.policy ?? LinuxSchedulerPolicy.SCHED_NONE;
  const score = Number(oomScoreAdj?.value ?? 0n);
  return [
    ...when(isOld && ioClass !== IOPrioClass.IOPRIO_CLASS_NONE, 'IoPriority', why),
    ...when(isOld && policy !== LinuxSchedulerPolicy.SCHED_NONE, 'LinuxSched', why),
    ...when(Math.abs(score) > 1000, 'OomScoreAdj', `${score} is not between -1000 and 1000`),
  ];
}

function linuxFaults(
  { netDevices, memoryPolicy }: LinuxContainerAdjustment,
  handler: RuntimeHandler,
): Unsupported[] {
  const { linux } = featuresOf(handler);
  const hasDevices = Object.keys(netDevices).some((name) => !name.startsWith('-'));
  const why = `OCI runtime "${handler.name}" can not do it, or does not say so in its features`;
  return [
    ...when(hasDevices && linux?.netDevices?.enabled !== true, 'LinuxNetDevices', why),
    ...when(memoryPolicy !== undefined && linux?.memoryPolicy == null, 'MemoryPolicy', why),
  ];
}

/** What of resource control is wanted, by the field of its owner. */
function rdtFields({ rdt, resources }: LinuxContainerAdjustment): string[] {
  const wanted = {
    RdtClass: resources?.rdtClass?.value,
    RdtClosID: rdt?.closId?.value,
    RdtSchemata: rdt?.schemata?.value.join(),
    RdtEnableMonitoring: rdt?.enableMonitoring?.value === true ? 'yes' : '',
  };
  return Object.entries(wanted).flatMap(([field, value = '']) => (value === '' ? [] : [field]));
}

async function rdtFaults(
  linux: LinuxContainerAdjustment,
  handler: RuntimeHandler,
): Promise<Unsupported[]> {
  const wanted = rdtFields(linux);
  if (wanted.length === 0) {
    return [];
  }
  if (!(await mountInfo()).some(({ fsType }) => fsType === 'resctrl')) {
    return wanted.map((field) => ({ field, why: 'this host has no resctrl mounted' }));
  }
  const { schemata = false, monitoring = false } = featuresOf(handler).linux?.intelRdt ?? {};
  const missing = new Set([
    ...(schemata ? [] : ['RdtSchemata']),
    ...(monitoring ? [] : ['RdtEnableMonitoring']),
  ]);
  const why = `OCI runtime "${handler.name}" can not do it, or does not say so in its features`;
  return wanted.filter((field) => missing.has(field)).map((field) => ({ field, why }));
}

function when(isWanted: boolean, field: string, why: string): Unsupported[] {
  return isWanted ? [{ field, why }] : [];
}

/** Silence means no: such a runtime would pass it over. */
function knows(handler: RuntimeHandler, major: number, minor: number): boolean {
  const [, has = '0', and = '0'] = /^(\d+)\.(\d+)/.exec(featuresOf(handler).ociVersionMax) ?? [];
  return Number(has) > major || (Number(has) === major && Number(and) >= minor);
}

function featuresOf({ features }: RuntimeHandler) {
  const parsed = safeParse(featuresSchema, features);
  return parsed.success ? parsed.output : { ociVersionMax: '', linux: undefined };
}

import { RuntimeError } from '@gantry/errors';
import type { OciDevice, OciNamespaceType, OciSeccomp, OciSpec } from '@gantry/oci';
import {
  IOPrioClass,
  type LinuxContainerAdjustment,
  type LinuxDevice,
  type LinuxMemoryPolicy,
  type LinuxNamespace,
  type LinuxRdt,
  type LinuxScheduler,
  LinuxSchedulerFlag,
  LinuxSchedulerPolicy,
  type LinuxSeccomp,
  MpolFlag,
  MpolMode,
} from '@gantry/proto/nri';
import { removedKey } from '../owners.ts';
import { adjustResources } from './adjust-resources.ts';
import { type AdjustedSpec, enumName, jsonNumber } from './adjusted-spec.ts';

/** Changes `spec` in the order of the reference. */
export function adjustLinux(spec: AdjustedSpec, wanted: LinuxContainerAdjustment): void {
  adjustDevices(spec, wanted.devices);
  if (wanted.cgroupsPath !== '') {
    spec.linux.cgroupsPath = wanted.cgroupsPath;
  }
  if (wanted.oomScoreAdj !== undefined) {
    spec.process.oomScoreAdj = Number(wanted.oomScoreAdj.value);
  }
  adjustProcess(spec, wanted);
  if (wanted.seccompPolicy !== undefined) {
    spec.linux.seccomp = ociSeccomp(wanted.seccompPolicy);
  }
  adjustNamespaces(spec, wanted.namespaces);
  spec.linux.sysctl = adjustMap(spec.linux.sysctl, wanted.sysctl) ?? {};
  if (Object.keys(spec.linux.sysctl).length === 0) {
    delete spec.linux.sysctl;
  }
  const netDevices = adjustMap(
    spec.linux.netDevices,
    Object.fromEntries(
      Object.entries(wanted.netDevices).map(([host, { name }]) => [
        host,
        name === '' ? {} : { name },
      ]),
    ),
  );
  if (netDevices !== undefined && Object.keys(netDevices).length > 0) {
    spec.linux.netDevices = netDevices;
  }
  if (wanted.memoryPolicy !== undefined) {
    spec.linux.memoryPolicy = ociMemoryPolicy(wanted.memoryPolicy);
  }
  if (wanted.resources !== undefined) {
    spec.linux.resources = adjustResources(spec.linux.resources, wanted.resources);
  }
  adjustRdtClass(spec, wanted.resources?.rdtClass?.value);
  adjustRdt(spec, wanted.rdt);
}

function adjustProcess(spec: AdjustedSpec, { ioPriority, scheduler }: LinuxContainerAdjustment) {
  if (ioPriority !== undefined) {
    if (ioPriority.class === IOPrioClass.IOPRIO_CLASS_NONE) {
      delete spec.process.ioPriority;
    } else {
      const name = enumName(IOPrioClass, ioPriority.class);
      spec.process.ioPriority = { class: name, priority: ioPriority.priority };
    }
  }
  if (scheduler !== undefined) {
    if (scheduler.policy === LinuxSchedulerPolicy.SCHED_NONE) {
      delete spec.process.scheduler;
    } else {
      spec.process.scheduler = ociScheduler(scheduler);
    }
  }
}

/** A device that plugins give may be used: its rule comes with it. */
function adjustDevices(spec: OciSpec, wanted: readonly LinuxDevice[]): void {
  if (wanted.length === 0) {
    return;
  }
  const gone = new Set(wanted.map(({ path }) => removedKey(path) ?? path));
  const added = wanted.filter(({ path }) => removedKey(path) === undefined);
  const kept = (spec.linux.devices ?? []).filter(({ path }) => !gone.has(path));
  spec.linux.devices = [...kept, ...added.map(ociDevice)];
  const rules = added
    .filter(({ type }) => type !== 'p')
    .map((device) => ({
      allow: true,
      type: device.type === 'b' ? ('b' as const) : ('c' as const),
      major: Number(device.major),
      minor: Number(device.minor),
      access: device.type === 'b' ? 'rwm' : 'rw',
    }));
  if (rules.length > 0) {
    const { resources } = spec.linux;
    spec.linux.resources = { ...resources, devices: [...(resources?.devices ?? []), ...rules] };
  }
}

function ociDevice({ path, type, major, minor, fileMode, uid, gid }: LinuxDevice): OciDevice {
  if (type !== 'c' && type !== 'b' && type !== 'u' && type !== 'p') {
    throw new RuntimeError(
      'invalid-argument',
      `device ${path}: type "${type}" is not b, c, p or u`,
    );
  }
  return {
    type,
    path,
    ...(type !== 'p' && { major: Number(major), minor: Number(minor) }),
    ...(fileMode && { fileMode: fileMode.value }),
    ...(uid && { uid: uid.value }),
    ...(gid && { gid: gid.value }),
  };
}

function adjustNamespaces(spec: OciSpec, wanted: readonly LinuxNamespace[]): void {
  for (const { type } of wanted) {
    const gone = removedKey(type) ?? type;
    const { namespaces } = spec.linux;
    const isSetAgain = wanted.some((other) => other.type === gone);
    if (!isSetAgain) {
      spec.linux.namespaces = namespaces.filter((namespace) => namespace.type !== gone);
    }
  }
  for (const { type, path } of wanted) {
    if (removedKey(type) === undefined) {
      const added = { type: type as OciNamespaceType, ...(path !== '' && { path }) };
      const { namespaces } = spec.linux;
      const at = namespaces.findIndex((namespace) => namespace.type === type);
      spec.linux.namespaces = at < 0 ? [...namespaces, added] : namespaces.with(at, added);
    }
  }
}

function adjustMap<T>(
  before: Readonly<Record<string, T>> | undefined,
  wanted: Readonly<Record<string, T>>,
): Record<string, T> | undefined {
  const after = new Map(Object.entries(before ?? {}));
  const entries = Object.entries(wanted);
  for (const [marked] of entries) {
    const key = removedKey(marked);
    if (key !== undefined) {
      after.delete(key);
    }
  }
  for (const [key, value] of entries) {
    if (removedKey(key) === undefined) {
      after.set(key, value);
    }
  }
  return before === undefined && after.size === 0 ? undefined : Object.fromEntries(after);
}

function ociScheduler(
  scheduler: LinuxScheduler,
): NonNullable<AdjustedSpec['process']['scheduler']> {
  const { policy, nice, priority, flags, runtime, deadline, period } = scheduler;
  return {
    policy: enumName(LinuxSchedulerPolicy, policy),
    ...(nice !== 0 && { nice }),
    ...(priority !== 0 && { priority }),
    ...(flags.length > 0 && { flags: flags.map((flag) => enumName(LinuxSchedulerFlag, flag)) }),
    ...(runtime !== 0n && { runtime: jsonNumber(runtime) }),
    ...(deadline !== 0n && { deadline: jsonNumber(deadline) }),
    ...(period !== 0n && { period: jsonNumber(period) }),
  };
}

function ociMemoryPolicy({ mode, nodes, flags }: LinuxMemoryPolicy) {
  return {
    mode: enumName(MpolMode, mode),
    nodes,
    ...(flags.length > 0 && { flags: flags.map((flag) => enumName(MpolFlag, flag)) }),
  };
}

function ociSeccomp(policy: LinuxSeccomp): OciSeccomp {
  type Syscall = NonNullable<OciSeccomp['syscalls']>[number];
  return {
    defaultAction: policy.defaultAction as OciSeccomp['defaultAction'],
    ...(policy.defaultErrno && { defaultErrnoRet: policy.defaultErrno.value }),
    ...(policy.architectures.length > 0 && { architectures: policy.architectures }),
    ...(policy.flags.length > 0 && { flags: policy.flags }),
    ...(policy.listenerPath !== '' && { listenerPath: policy.listenerPath }),
    ...(policy.listenerMetadata !== '' && { listenerMetadata: policy.listenerMetadata }),
    syscalls: policy.syscalls.map(
      ({ names, action, errnoRet, args }): Syscall => ({
        names,
        action: action as Syscall['action'],
        ...(errnoRet && { errnoRet: errnoRet.value }),
        ...(args.length > 0 && {
          args: args.map(({ index, value, valueTwo, op }) => ({
            index,
            value: jsonNumber(value),
            ...(valueTwo !== 0n && { valueTwo: jsonNumber(valueTwo) }),
            op: op as NonNullable<Syscall['args']>[number]['op'],
          })),
        }),
      }),
    ),
  };
}

function adjustRdt(spec: AdjustedSpec, rdt: LinuxRdt | undefined): void {
  const { remove, closId, schemata, enableMonitoring } = rdt ?? {};
  if (remove === true) {
    delete spec.linux.intelRdt;
  }
  if (closId !== undefined || schemata !== undefined || enableMonitoring !== undefined) {
    spec.linux.intelRdt = {
      ...spec.linux.intelRdt,
      ...(closId && { closID: closId.value }),
      ...(schemata && { schemata: [...schemata.value] }),
      ...(enableMonitoring && { enableMonitoring: enableMonitoring.value }),
    };
  }
}

/** A class is a group of resctrl that is there: the peers' own too, once their configuration is read. */
function adjustRdtClass(spec: AdjustedSpec, name: string | undefined): void {
  if (name === '') {
    delete spec.linux.intelRdt;
  } else if (name !== undefined) {
    spec.linux.intelRdt = { ...spec.linux.intelRdt, closID: name };
  }
}

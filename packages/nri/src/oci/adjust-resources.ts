import type { OciCpu, OciMemory, OciResources } from '@gantry/oci';
import type { LinuxCPU, LinuxDeviceCgroup, LinuxMemory, LinuxResources } from '@gantry/proto/nri';
import { jsonNumber } from './adjusted-spec.ts';

/** The limits of `resources` in OCI words; only what is set. */
export function ociResources(resources: LinuxResources): OciResources {
  const { memory, cpu, hugepageLimits, unified, pids, devices } = resources;
  return {
    ...(memory && { memory: ociMemory(memory) }),
    ...(cpu && { cpu: ociCpu(cpu) }),
    ...(hugepageLimits.length > 0 && {
      hugepageLimits: hugepageLimits.map(({ pageSize, limit }) => ({
        pageSize,
        limit: jsonNumber(limit),
      })),
    }),
    ...(Object.keys(unified).length > 0 && { unified: { ...unified } }),
    ...(pids && pids.limit !== 0n && { pids: { limit: jsonNumber(pids.limit) } }),
    ...(devices.length > 0 && { devices: devices.map(deviceRule) }),
  };
}

/** `before` with the limits of `resources` over it; device rules come last. */
export function adjustResources(
  before: OciResources = {},
  resources: LinuxResources,
): OciResources {
  const { memory, cpu, hugepageLimits, unified, pids, devices } = ociResources(resources);
  return {
    ...before,
    ...(memory && { memory: overMemory(before.memory, memory) }),
    ...(cpu && { cpu: { ...before.cpu, ...cpu } }),
    ...(hugepageLimits && { hugepageLimits: overPages(before.hugepageLimits, hugepageLimits) }),
    ...(unified && { unified: { ...before.unified, ...unified } }),
    ...(pids && { pids }),
    ...(devices && { devices: (before.devices ?? []).concat(devices) }),
  };
}

/** A swap limit holds memory and swap together: it can't stay below a new memory limit. */
function overMemory(before: OciMemory = {}, memory: OciMemory): OciMemory {
  const { limit, swap } = memory;
  const follows = limit !== undefined && swap === undefined && before.swap !== undefined;
  return { ...before, ...memory, ...(follows && { swap: limit }) };
}

type Pages = NonNullable<OciResources['hugepageLimits']>;

function overPages(before: Pages = [], limits: Pages): Pages {
  const sizes = new Set(limits.map(({ pageSize }) => pageSize));
  return [...before.filter(({ pageSize }) => !sizes.has(pageSize)), ...limits];
}

function ociMemory(memory: LinuxMemory): OciMemory {
  const number = (value: { readonly value: bigint } | undefined) =>
    value === undefined ? undefined : jsonNumber(value.value);
  return defined({
    limit: number(memory.limit),
    reservation: number(memory.reservation),
    swap: number(memory.swap),
    kernel: number(memory.kernel),
    kernelTCP: number(memory.kernelTcp),
    swappiness: number(memory.swappiness),
    disableOOMKiller: memory.disableOomKiller?.value,
    useHierarchy: memory.useHierarchy?.value,
  });
}

function ociCpu(cpu: LinuxCPU): OciCpu {
  const number = (value: { readonly value: bigint } | undefined) =>
    value === undefined ? undefined : jsonNumber(value.value);
  return defined({
    shares: number(cpu.shares),
    quota: number(cpu.quota),
    period: number(cpu.period),
    realtimeRuntime: number(cpu.realtimeRuntime),
    realtimePeriod: number(cpu.realtimePeriod),
    cpus: cpu.cpus === '' ? undefined : cpu.cpus,
    mems: cpu.mems === '' ? undefined : cpu.mems,
  });
}

function deviceRule(rule: LinuxDeviceCgroup): NonNullable<OciResources['devices']>[number] {
  return {
    allow: rule.allow,
    ...(rule.type !== '' && { type: rule.type as 'a' | 'b' | 'c' }),
    ...(rule.major && { major: Number(rule.major.value) }),
    ...(rule.minor && { minor: Number(rule.minor.value) }),
    ...(rule.access !== '' && { access: rule.access }),
  };
}

/** Without what is undefined. */
function defined<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

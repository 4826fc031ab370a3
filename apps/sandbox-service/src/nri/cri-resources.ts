import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { ociResources } from '@gantry/nri';
import type { OciResources } from '@gantry/oci';
import { type LinuxContainerResources, LinuxContainerResourcesSchema } from '@gantry/proto';
import {
  LinuxCPUSchema,
  LinuxMemorySchema,
  type LinuxResources,
  type LinuxResourcesSchema,
} from '@gantry/proto/nri';

type ResourcesShape = MessageInitShape<typeof LinuxResourcesSchema>;

/** Limits of the CRI in the words of NRI: 0 and '' are not set. */
export function pluginResources(resources: LinuxContainerResources): ResourcesShape {
  const set = <K extends string>(name: K, value: bigint) =>
    (value === 0n ? {} : { [name]: { value } }) as { [P in K]?: { value: bigint } };
  return {
    cpu: {
      ...set('shares', resources.cpuShares),
      ...set('quota', resources.cpuQuota),
      ...set('period', resources.cpuPeriod),
      cpus: resources.cpusetCpus,
      mems: resources.cpusetMems,
    },
    memory: {
      ...set('limit', resources.memoryLimitInBytes),
      ...set('swap', resources.memorySwapLimitInBytes),
    },
    hugepageLimits: resources.hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit })),
    unified: { ...resources.unified },
  };
}

/** What of limits of NRI the CRI has words for. */
export function criResources(resources: LinuxResources): LinuxContainerResources {
  const { hugepageLimits, unified } = resources;
  const cpu = resources.cpu ?? create(LinuxCPUSchema);
  const memory = resources.memory ?? create(LinuxMemorySchema);
  return create(LinuxContainerResourcesSchema, {
    cpuShares: numberOf(cpu.shares),
    cpuQuota: numberOf(cpu.quota),
    cpuPeriod: numberOf(cpu.period),
    cpusetCpus: cpu.cpus,
    cpusetMems: cpu.mems,
    memoryLimitInBytes: numberOf(memory.limit),
    memorySwapLimitInBytes: numberOf(memory.swap),
    hugepageLimits: hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit })),
    unified,
  });
}

function numberOf(wrapped: { readonly value: bigint } | undefined): bigint {
  return wrapped?.value ?? 0n;
}

/** The rest: what only the OCI runtime understands. Undefined when there is none. */
export function beyondCri(resources: LinuxResources): OciResources | undefined {
  const { memory, cpu, pids } = ociResources(resources);
  const { limit: _limit, swap: _swap, ...memoryRest } = memory ?? {};
  const { realtimeRuntime, realtimePeriod } = cpu ?? {};
  const cpuRest = {
    ...(realtimeRuntime !== undefined && { realtimeRuntime }),
    ...(realtimePeriod !== undefined && { realtimePeriod }),
  };
  const rest: OciResources = {
    ...(Object.keys(memoryRest).length > 0 && { memory: memoryRest }),
    ...(Object.keys(cpuRest).length > 0 && { cpu: cpuRest }),
    ...(pids && { pids }),
  };
  return Object.keys(rest).length === 0 ? undefined : rest;
}

/** Whether the CRI part says anything. */
export function isEmpty(resources: LinuxContainerResources): boolean {
  const { cpuShares, cpuQuota, cpuPeriod, cpusetCpus, cpusetMems } = resources;
  const { memoryLimitInBytes, memorySwapLimitInBytes, hugepageLimits, unified } = resources;
  const numbers = [cpuShares, cpuQuota, cpuPeriod, memoryLimitInBytes, memorySwapLimitInBytes];
  return (
    numbers.every((number) => number === 0n) &&
    cpusetCpus + cpusetMems === '' &&
    hugepageLimits.length === 0 &&
    Object.keys(unified).length === 0
  );
}

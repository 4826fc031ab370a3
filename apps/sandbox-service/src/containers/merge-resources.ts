import { create } from '@bufbuild/protobuf';
import {
  type HugepageLimit,
  type LinuxContainerResources,
  LinuxContainerResourcesSchema,
} from '@gantry/proto';

const none = create(LinuxContainerResourcesSchema);

// What the kernel gives a cgroup that was told nothing.
const defaultShares = 1024n;
const defaultPeriodMicros = 100_000n;
const unlimited = -1n;

/**
 * The limits after an update: a field of `wanted` that is 0 or empty leaves the
 * old one. A swap limit that no longer holds the new memory limit, which it
 * includes, gives way and follows it, as where none was set. `oom_score_adj`
 * belongs to the process, and stays as it was at the start.
 */
export function mergeResources(
  old: LinuxContainerResources = none,
  wanted: LinuxContainerResources = none,
): LinuxContainerResources {
  const memoryLimitInBytes = wanted.memoryLimitInBytes || old.memoryLimitInBytes;
  return create(LinuxContainerResourcesSchema, {
    cpuPeriod: wanted.cpuPeriod || old.cpuPeriod,
    cpuQuota: wanted.cpuQuota || old.cpuQuota,
    cpuShares: wanted.cpuShares || old.cpuShares,
    memoryLimitInBytes,
    memorySwapLimitInBytes:
      wanted.memorySwapLimitInBytes || keptSwap(old.memorySwapLimitInBytes, memoryLimitInBytes),
    oomScoreAdj: old.oomScoreAdj,
    cpusetCpus: wanted.cpusetCpus || old.cpusetCpus,
    cpusetMems: wanted.cpusetMems || old.cpusetMems,
    hugepageLimits: mergeHugepages(old.hugepageLimits, wanted.hugepageLimits),
    unified: { ...old.unified, ...wanted.unified },
  });
}

/**
 * The limits that take a container from `after` back to `before`: what only
 * `after` has set becomes what the kernel gives by itself. The cpus and memory
 * nodes of that are those of `inherited`.
 */
export function putBackResources(
  before: LinuxContainerResources = none,
  after: LinuxContainerResources,
  inherited: { readonly cpus: string; readonly mems: string },
): LinuxContainerResources {
  /** The old limit; without one, what undoes a new one; 0, which changes nothing, without either. */
  const back = (old: bigint, now: bigint, unset: bigint): bigint => old || (now && unset);
  const backList = (old: string, now: string, unset: string): string => old || (now && unset);
  return create(LinuxContainerResourcesSchema, {
    ...before,
    cpuPeriod: back(before.cpuPeriod, after.cpuPeriod, defaultPeriodMicros),
    cpuQuota: back(before.cpuQuota, after.cpuQuota, unlimited),
    cpuShares: back(before.cpuShares, after.cpuShares, defaultShares),
    memoryLimitInBytes: back(before.memoryLimitInBytes, after.memoryLimitInBytes, unlimited),
    memorySwapLimitInBytes: back(
      // Left out, it follows the memory limit.
      before.memorySwapLimitInBytes || before.memoryLimitInBytes,
      after.memorySwapLimitInBytes,
      unlimited,
    ),
    cpusetCpus: backList(before.cpusetCpus, after.cpusetCpus, inherited.cpus),
    cpusetMems: backList(before.cpusetMems, after.cpusetMems, inherited.mems),
  });
}

function keptSwap(swap: bigint, limit: bigint): bigint {
  const holds = swap === unlimited || (limit !== unlimited && swap >= limit);
  return holds ? swap : 0n;
}

function mergeHugepages(
  old: readonly HugepageLimit[],
  wanted: readonly HugepageLimit[],
): HugepageLimit[] {
  const bySize = new Map([...old, ...wanted].map((limit) => [limit.pageSize, limit]));
  return [...bySize.values()];
}

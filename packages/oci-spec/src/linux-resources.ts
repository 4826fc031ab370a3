import { quote, RuntimeError } from '@gantry/errors';
import type { OciCpu, OciMemory, OciResources } from '@gantry/oci';
import type { LinuxContainerResources } from '@gantry/proto';
import type { HostFacts } from './spec-input.ts';

/** What of the host decides which limits can be set. */
export type ResourceFacts = Pick<HostFacts, 'cgroupVersion' | 'hugepageSizes' | 'swapAccounting'>;

/**
 * The cgroup limits of LinuxContainerResources, for a new container as well as
 * for `<runtime> update`. 0 and '' mean "not set" (api.proto). Without a swap
 * limit of its own, a memory limit counts for memory and swap together, so
 * that a container can't escape it into swap. Page sizes that the host can't
 * limit are left out: a kubelet names every size.
 *
 * Throws `invalid-argument` for numbers and names that make no sense, and
 * `failed-precondition` for `unified` on a host without cgroup v2.
 */
export function linuxResources(
  resources: LinuxContainerResources | undefined,
  host: ResourceFacts,
  pidsLimit = 0,
): OciResources {
  const limits: OciResources = pidsLimit > 0 ? { pids: { limit: pidsLimit } } : {};
  if (resources === undefined) {
    return limits;
  }
  checkOomScore(resources.oomScoreAdj);
  const cpu = cpuOf(resources);
  if (Object.keys(cpu).length > 0) {
    limits.cpu = cpu;
  }
  const memory = memoryOf(resources, host);
  if (Object.keys(memory).length > 0) {
    limits.memory = memory;
  }
  const hugepageLimits = hugepagesOf(resources, host);
  if (hugepageLimits.length > 0) {
    limits.hugepageLimits = hugepageLimits;
  }
  if (Object.keys(resources.unified).length > 0) {
    limits.unified = unifiedOf(resources.unified, host);
  }
  return limits;
}

/** proc_pid_oom_score_adj(5). What the host does not let us give is another matter: that is lifted. */
function checkOomScore(score: bigint): void {
  if (score < -1000n || score > 1000n) {
    throw new RuntimeError('invalid-argument', `oom_score_adj: ${score} is not in -1000..1000`);
  }
}

function cpuOf(resources: LinuxContainerResources): OciCpu {
  const shares = atLeast(resources.cpuShares, 0n, 'cpu_shares');
  const period = atLeast(resources.cpuPeriod, 0n, 'cpu_period');
  const quota = atLeast(resources.cpuQuota, -1n, 'cpu_quota');
  const cpus = cpuList(resources.cpusetCpus, 'cpuset_cpus');
  const mems = cpuList(resources.cpusetMems, 'cpuset_mems');
  return {
    ...(shares !== 0 && { shares }),
    ...(quota !== 0 && { quota }),
    ...(period !== 0 && { period }),
    ...(cpus !== '' && { cpus }),
    ...(mems !== '' && { mems }),
  };
}

function memoryOf(resources: LinuxContainerResources, host: ResourceFacts): OciMemory {
  const limit = atLeast(resources.memoryLimitInBytes, -1n, 'memory_limit_in_bytes');
  const asked = atLeast(resources.memorySwapLimitInBytes, -1n, 'memory_swap_limit_in_bytes');
  if (asked > 0 && asked < limit) {
    throw new RuntimeError(
      'invalid-argument',
      `memory_swap_limit_in_bytes: ${asked} is below memory_limit_in_bytes, which it includes`,
    );
  }
  const swap = asked === 0 ? limit : asked;
  return {
    ...(limit !== 0 && { limit }),
    ...(swap !== 0 && host.swapAccounting && { swap }),
  };
}

function hugepagesOf(
  resources: LinuxContainerResources,
  host: ResourceFacts,
): { pageSize: string; limit: number }[] {
  return resources.hugepageLimits
    .map(({ pageSize, limit }) => ({
      pageSize: cgroupPageSize(pageSize),
      limit: clampToSafe(limit),
    }))
    .filter(({ pageSize }) => host.hugepageSizes.includes(pageSize));
}

/** The kernel's files say 2MB for what Kubernetes calls 2Mi. */
function cgroupPageSize(pageSize: string): string {
  const parts = /^([0-9]+)([KMG])(?:i|B|iB)$/.exec(pageSize);
  if (parts === null) {
    throw new RuntimeError(
      'invalid-argument',
      `hugepage_limits: ${quote(pageSize)} is no page size such as 2MB`,
    );
  }
  return `${parts[1]}${parts[2]}B`;
}

function unifiedOf(unified: Record<string, string>, host: ResourceFacts): Record<string, string> {
  for (const key of Object.keys(unified)) {
    // A runtime writes the value to the file of this name: it must not lead elsewhere.
    if (!/^[a-z0-9_]+(\.[a-z0-9_]+)+$/i.test(key)) {
      throw new RuntimeError('invalid-argument', `unified: ${quote(key)} is no cgroup file`);
    }
  }
  if (host.cgroupVersion !== 2) {
    throw new RuntimeError('failed-precondition', 'unified: this host has no cgroup v2');
  }
  return { ...unified };
}

function atLeast(value: bigint, least: bigint, field: string): number {
  if (value < least) {
    throw new RuntimeError('invalid-argument', `${field}: ${value} is below ${least}`);
  }
  return clampToSafe(value);
}

/** JSON numbers are exact up to 2^53: as a limit in bytes, that is as good as none. */
function clampToSafe(value: bigint): number {
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value > most ? most : value);
}

/** The kernel takes a page at most; an OCI runtime would repeat a longer one in its message. */
const maxListLetters = 4095;

function cpuList(list: string, field: string): string {
  if (list.length > maxListLetters || !/^[0-9,\- ]*$/.test(list)) {
    throw new RuntimeError('invalid-argument', `${field}: ${quote(list)} is no list`);
  }
  return list;
}

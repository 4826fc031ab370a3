import { atLeastZero, availableOf, type CgroupReading } from './cgroup-reading.ts';
import { figureOf, parseFigure } from './cgroup-texts.ts';

/** The files of cgroup v1 that a reading needs, in their directories by controller. */
export const v1Files = {
  cpu: { controller: 'cpuacct', name: 'cpuacct.usage' },
  usage: { controller: 'memory', name: 'memory.usage_in_bytes' },
  stat: { controller: 'memory', name: 'memory.stat' },
} as const;

export type V1Texts = Readonly<Record<keyof typeof v1Files, string | undefined>>;

// The kernel's "no limit": the largest signed 64-bit number, rounded down to a page of up to 64 KiB.
const unlimited = 0x7fff_ffff_ffff_0000n;

/** Reads the figures of one cgroup (Documentation/admin-guide/cgroup-v1/memory.rst, section 5.2). */
export function parseV1(texts: V1Texts): CgroupReading {
  const usageNanos = parseFigure(texts.cpu);
  return {
    ...(usageNanos === undefined ? {} : { cpu: { usageNanos } }),
    ...parseMemory(texts),
  };
}

function parseMemory({
  usage: usageText,
  stat = '',
}: V1Texts): Pick<CgroupReading, 'memory' | 'swap'> {
  const usage = parseFigure(usageText);
  if (usage === undefined) {
    return {};
  }
  // With `total_` before the key: this cgroup and those below it.
  const total = (key: string): bigint => figureOf(stat, `total_${key}`) ?? 0n;
  const workingSet = atLeastZero(usage - total('inactive_file'));
  const limit = limitOf(stat, 'hierarchical_memory_limit');
  return {
    memory: {
      usage,
      workingSet,
      available: availableOf(limit, workingSet),
      rss: total('rss'),
      pageFaults: total('pgfault'),
      majorPageFaults: total('pgmajfault'),
    },
    ...parseSwap(stat, limit),
  };
}

/** Nothing where the kernel does not count swap. */
function parseSwap(stat: string, memoryLimit: bigint | undefined): Pick<CgroupReading, 'swap'> {
  const usage = figureOf(stat, 'total_swap');
  if (usage === undefined) {
    return {};
  }
  // v1 limits the sum of both.
  const both = limitOf(stat, 'hierarchical_memsw_limit');
  const limit =
    both === undefined || memoryLimit === undefined ? undefined : atLeastZero(both - memoryLimit);
  return { swap: { usage, available: availableOf(limit, usage) } };
}

function limitOf(stat: string, key: string): bigint | undefined {
  const limit = figureOf(stat, key);
  return limit === undefined || limit >= unlimited ? undefined : limit;
}

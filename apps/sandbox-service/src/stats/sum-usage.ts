import type { CgroupReading } from './cgroup-reading.ts';
import type { CgroupUsage } from './usage-messages.ts';

type Memory = NonNullable<CgroupReading['memory']>;

/** What several cgroups use together. Limits and pressure have no sum. */
export function sumUsage(usages: readonly CgroupUsage[], atNanos: bigint): CgroupUsage {
  const readings = usages.map((usage) => usage.reading);
  const memories = readings.flatMap(({ memory }) => memory ?? []);
  const memory = (key: Exclude<keyof Memory, 'available' | 'pressure'>): bigint =>
    sum(memories.map((one) => one[key])) ?? 0n;
  const usageNanos = sum(readings.map(({ cpu }) => cpu?.usageNanos));
  return {
    atNanos,
    nanoCores: sum(usages.map((usage) => usage.nanoCores)),
    reading: {
      ...(usageNanos === undefined ? {} : { cpu: { usageNanos } }),
      ...(memories.length > 0 && {
        memory: {
          usage: memory('usage'),
          workingSet: memory('workingSet'),
          rss: memory('rss'),
          pageFaults: memory('pageFaults'),
          majorPageFaults: memory('majorPageFaults'),
        },
      }),
    },
  };
}

/** Of those that are known; undefined when none is. */
function sum(numbers: readonly (bigint | undefined)[]): bigint | undefined {
  return numbers.reduce(
    (total, n) => (n === undefined ? total : (total ?? 0n) + n),
    undefined as bigint | undefined,
  );
}

import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CgroupLayout } from '@gantry/host';
import { cgroupDirectory } from '@gantry/host';
import { parseFigure } from '../stats/cgroup-texts.ts';
import { readSmallFile } from '../stats/read-small-file.ts';

/** Bytes in huge pages of one size; only v1 keeps the most so far. */
export interface HugePages {
  /** As cgroup files have it, such as 2MB. */
  readonly pageSize: string;
  readonly usage: bigint;
  readonly maxUsage?: bigint;
}

/** `hugepages-2048kB` is 2MB. */
export function pageSizeOf(directory: string): string | undefined {
  const kilobytes = Number(/^hugepages-(\d+)kB$/.exec(directory)?.[1] ?? 0);
  if (kilobytes === 0) {
    return undefined;
  }
  const [unit, size] = [
    ['GB', kilobytes / (1 << 20)],
    ['MB', kilobytes / (1 << 10)],
    ['KB', kilobytes],
  ].find(([, n]) => Number.isInteger(n)) as [string, number];
  return `${String(size)}${unit}`;
}

/** The sizes of huge pages that the kernel has. */
export async function hugePageSizes(root = '/sys/kernel/mm/hugepages'): Promise<string[]> {
  const names = await readdir(root).catch(() => []);
  return names.map(pageSizeOf).filter((size) => size !== undefined);
}

/** What a cgroup has of each size; empty where the host or the cgroup has no such controller. */
export function readHugePages(
  layout: CgroupLayout,
  cgroupPath: string,
  sizes: readonly string[],
): HugePages[] {
  const directory = cgroupDirectory(layout, 'hugetlb', cgroupPath);
  if (directory === undefined) {
    return [];
  }
  return sizes.flatMap((pageSize) => {
    const file = join(directory, `hugetlb.${pageSize}`);
    // Looked for and not tried: on a hybrid host the hierarchy may have the controller and its cgroups not.
    const name = [`${file}.usage_in_bytes`, `${file}.current`].find((path) => existsSync(path));
    const usage = name === undefined ? undefined : parseFigure(readSmallFile(name));
    if (usage === undefined) {
      return [];
    }
    const maxUsage = parseFigure(readSmallFile(`${file}.max_usage_in_bytes`));
    return [{ pageSize, usage, ...(maxUsage === undefined ? {} : { maxUsage }) }];
  });
}

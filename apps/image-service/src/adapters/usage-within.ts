import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { directoryUsage } from '@gantry/host';
import type { DiskUsage } from '../ports.ts';

/** What the entries of a directory take, itself not counted. */
export async function usageWithin(directory: string): Promise<DiskUsage> {
  let [bytes, inodes] = [0, 0];
  for (const name of await readdir(directory)) {
    const usage = await directoryUsage(join(directory, name));
    bytes += usage.bytes;
    inodes += usage.inodes;
  }
  return { bytes, inodes };
}

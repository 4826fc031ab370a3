import { lstatSync, readdirSync, type Stats } from 'node:fs';
import type { DiskUsage } from '../ports.ts';
import { toBytes } from './in-root.ts';

/** What a tree takes, as `du` counts it, whatever bytes its names have. Synchronous: for a worker thread. */
export function treeUsage(root: string): DiskUsage {
  const usage = { bytes: 0, inodes: 0 };
  const linked = new Set<number>();
  const count = (stats: Stats): void => {
    if (stats.nlink > 1 && !stats.isDirectory()) {
      if (linked.has(stats.ino)) {
        return;
      }
      linked.add(stats.ino);
    }
    usage.bytes += stats.blocks * 512;
    usage.inodes += 1;
  };
  const pending = [Buffer.from(root).toString('latin1')];
  count(lstatSync(root));
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const name of readdirSync(toBytes(directory), { encoding: 'buffer' })) {
      const path = `${directory}/${name.toString('latin1')}`;
      const stats = lstatSync(toBytes(path));
      count(stats);
      if (stats.isDirectory()) {
        pending.push(path);
      }
    }
  }
  return usage;
}

import type { BigIntStats, Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from './system-error.ts';

export interface DirectoryUsage {
  /** Disk space taken, as `du` counts it: blocks, hard links once. */
  readonly bytes: number;
  readonly inodes: number;
}

// Enough to keep the libuv pool busy, few enough to leave others a turn.
const parallel = 16;

/**
 * What a tree takes, its root included; never leaves its file system. What
 * vanishes meanwhile is not counted; a tree that is not there takes nothing.
 */
export async function directoryUsage(
  path: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<DirectoryUsage> {
  const root = await statOrNothing(path);
  if (root === undefined) {
    return { bytes: 0, inodes: 0 };
  }
  const counted: Counted = { bytes: bytesOf(root), inodes: 1, linked: new Set() };
  const pending = root.isDirectory() ? [path] : [];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    const entries = await entriesOf(directory);
    for (let i = 0; i < entries.length; i += parallel) {
      options.signal?.throwIfAborted();
      const paths = entries.slice(i, i + parallel).map((e) => join(e.parentPath, e.name));
      const stats = await Promise.all(paths.map(statOrNothing));
      for (const [index, child] of paths.entries()) {
        const s = stats[index];
        if (s?.dev === root.dev && count(s, counted) && s.isDirectory()) {
          pending.push(child);
        }
      }
    }
  }
  return { bytes: counted.bytes, inodes: counted.inodes };
}

interface Counted {
  bytes: number;
  inodes: number;
  readonly linked: Set<bigint>;
}

/** Returns false for a further name of what was counted already. */
function count(s: BigIntStats, counted: Counted): boolean {
  if (!s.isDirectory() && s.nlink > 1n) {
    if (counted.linked.has(s.ino)) {
      return false;
    }
    counted.linked.add(s.ino);
  }
  counted.bytes += bytesOf(s);
  counted.inodes += 1;
  return true;
}

function bytesOf(s: BigIntStats): number {
  return Number(s.blocks) * 512;
}

async function entriesOf(path: string): Promise<Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) {
      return [];
    }
    throw error;
  }
}

async function statOrNothing(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) {
      return undefined;
    }
    throw error;
  }
}

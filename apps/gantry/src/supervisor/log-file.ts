import { closeSync, fstatSync, openSync } from 'node:fs';
import { copyFile, mkdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode } from '@gantry/host';

const keptFiles = 3;

/**
 * Opens a log to append to. The descriptor is given to the process that writes the log, so
 * that it goes on writing whatever becomes of us.
 */
export async function openLog(path: string): Promise<number> {
  await mkdir(dirname(path), { recursive: true });
  return openSync(path, 'a', 0o640);
}

/** A descriptor's file size in bytes, before something is appended. */
export function logSize(fd: number): number {
  return fstatSync(fd).size;
}

export function closeLog(fd: number): void {
  closeSync(fd);
}

/**
 * Keeps a log below `maxBytes`: a longer one is copied to `<path>.1` (older ones move up, three are
 * kept) and cut to nothing. Its writer has it open in append mode and notices nothing; a line that
 * is written between the copy and the cut is lost.
 */
export async function rotateLog(path: string, maxBytes: number): Promise<boolean> {
  const size = await sizeOf(path);
  if (size <= maxBytes) {
    return false;
  }
  await rm(`${path}.${keptFiles}`, { force: true });
  for (let n = keptFiles - 1; n >= 1; n -= 1) {
    if ((await sizeOf(`${path}.${n}`)) >= 0) {
      await rename(`${path}.${n}`, `${path}.${n + 1}`);
    }
  }
  await copyFile(path, `${path}.1`);
  await truncate(path);
  return true;
}

/** -1 for a file that is not there. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return -1;
    }
    throw error;
  }
}

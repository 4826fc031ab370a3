import { mkdirSync, statSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf } from './errno.ts';

/*
 * In place of mkdir with `recursive` wherever a client names the path. To that one ENOENT means that the
 * directory above is missing: where it is there and the kernel makes none in it all the same, as in /proc,
 * it tries again for ever, and takes a thread with it.
 */

/** Makes a directory and those above it that are missing; throws what the kernel says. What is there stays. */
export async function makeDirectories(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) {
      return;
    }
    if (code !== 'ENOENT' || (await isThere(dirname(path)))) {
      throw error;
    }
    await makeDirectories(dirname(path), mode);
    await makeDirectories(path, mode);
  }
}

/** As `makeDirectories`, while everything else waits. */
export function makeDirectoriesSync(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST' && statSync(path).isDirectory()) {
      return;
    }
    if (code !== 'ENOENT' || statSync(dirname(path), { throwIfNoEntry: false }) !== undefined) {
      throw error;
    }
    makeDirectoriesSync(dirname(path), mode);
    makeDirectoriesSync(path, mode);
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') {
      return false;
    }
    throw error;
  }
}

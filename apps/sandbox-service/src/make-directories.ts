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
    await makeOne(path, mode);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') {
      throw error;
    }
    if (!(await isThere(dirname(path)))) {
      await makeDirectories(dirname(path), mode);
    }
    // The one above is there, if only since a moment ago and by another's hand: now the kernel has the last word.
    await makeOne(path, mode);
  }
}

/** As `makeDirectories`, while everything else waits. */
export function makeDirectoriesSync(path: string, mode: number): void {
  try {
    makeOneSync(path, mode);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') {
      throw error;
    }
    if (statSync(dirname(path), { throwIfNoEntry: false }) === undefined) {
      makeDirectoriesSync(dirname(path), mode);
    }
    makeOneSync(path, mode);
  }
}

async function makeOne(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST' || !(await stat(path)).isDirectory()) {
      throw error;
    }
  }
}

function makeOneSync(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST' || !statSync(path).isDirectory()) {
      throw error;
    }
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

import { chmodSync, lstatSync, mkdirSync, readlinkSync, type Stats } from 'node:fs';
import { RuntimeError } from '@gantry/errors';
import { hasCode } from '@gantry/host';

/*
 * Names in archives are bytes. Inside the tree writer they are latin1 strings,
 * one character a byte, so that they can be keys; they become bytes again at
 * each system call.
 */

const maxLinks = 40;
const maxNameBytes = 255;

export function toBytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

/** Components of an archive's path: no empty ones, no `.`; `..` stops at the root. */
export function cleanPath(path: Buffer): string[] {
  const parts: string[] = [];
  for (const part of path.toString('latin1').split('/')) {
    if (part === '..') {
      parts.pop();
    } else if (part !== '' && part !== '.') {
      if (part.length > maxNameBytes) {
        throw new RuntimeError('invalid-argument', `a name of ${part.length} bytes in its path`);
      }
      parts.push(part);
    }
  }
  return parts;
}

export function lstatOrNothing(path: string): Stats | undefined {
  return lstatSync(toBytes(path), { throwIfNoEntry: false });
}

/** A character device 0:0: how overlayfs marks a name as removed. */
export function isWhiteout(stats: Stats): boolean {
  return stats.isCharacterDevice() && stats.rdev === 0;
}

/** What happened to a directory that a path leads through. */
export interface DirectoryEvents {
  /** It was not in the archive (so far) and has been made. */
  made(path: string): void;
  /** A whiteout stands where a directory is needed. */
  replaceWhiteout(path: string): void;
}

/**
 * Leads paths of an archive to real directories below `root`. Links are
 * followed as a process would whose root directory this is: never out of it.
 * Sound only while nobody else changes the tree.
 */
export class RootedDirectories {
  readonly #root: string;
  readonly #events: DirectoryEvents;
  /** Real directories that have been looked at. */
  readonly #known = new Set<string>();

  constructor(root: string, events: DirectoryEvents) {
    this.#root = root;
    this.#events = events;
    this.#known.add(root);
  }

  remember(directory: string): void {
    this.#known.add(directory);
  }

  /** Something was removed: nothing is known for sure any more. */
  forgetAll(): void {
    this.#known.clear();
    this.#known.add(this.#root);
  }

  /** The real path of a directory; what is missing is made unless `create` is false. */
  resolve(components: readonly string[], create = true): string {
    const pending = [...components].reverse();
    const current: string[] = [];
    let links = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '' || name === '.') {
        continue;
      }
      if (name === '..') {
        current.pop();
        continue;
      }
      const path = [this.#root, ...current, name].join('/');
      const target = this.#known.has(path) ? undefined : this.#enter(path, create);
      if (target === undefined) {
        current.push(name);
        continue;
      }
      links += 1;
      if (links > maxLinks) {
        throw new RuntimeError('invalid-argument', 'too many symbolic links in its path');
      }
      if (target.startsWith('/')) {
        current.length = 0;
      }
      pending.push(...target.split('/').reverse());
    }
    return [this.#root, ...current].join('/');
  }

  /** Makes sure of a directory at `path`; gives the target where a link stands there. */
  #enter(path: string, create: boolean): string | undefined {
    const stats = lstatOrNothing(path);
    if (stats?.isSymbolicLink() === true) {
      return readlinkSync(toBytes(path), { encoding: 'buffer' }).toString('latin1');
    }
    if (stats === undefined && create) {
      mkdirSync(toBytes(path));
      chmodSync(toBytes(path), 0o755);
      this.#events.made(path);
    } else if (stats !== undefined && isWhiteout(stats) && create) {
      this.#events.replaceWhiteout(path);
    } else if (stats === undefined) {
      throw new RuntimeError('invalid-argument', 'no such directory in this layer');
    } else if (!stats.isDirectory()) {
      throw new RuntimeError('invalid-argument', 'a parent in its path is not a directory');
    }
    this.#known.add(path);
    return undefined;
  }
}

/** Reports whether something stands in the way of what was to be made. */
export function isInTheWay(error: unknown): boolean {
  return hasCode(error, 'EEXIST');
}

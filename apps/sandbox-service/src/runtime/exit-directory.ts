import { closeSync, constants, openSync, readdirSync, statSync } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { lockFile, mountTmpfs, unmount } from '@gantry/host';

export interface ExitDirectoryOptions {
  /** Of a tmpfs for the records alone; a plain directory when absent. One record takes 4 KiB. */
  readonly ownBytes?: number | undefined;
}

/**
 * Where conmon writes how containers end: it makes a file in the moment of the end, and what finds
 * no room then is lost. So the records have a small tmpfs of their own, which a full `state_dir`
 * does not touch. Any number of processes may open the same directory.
 */
export class ExitDirectory {
  readonly path: string;
  readonly #ownBytes: number | undefined;

  constructor(path: string, options: ExitDirectoryOptions = {}) {
    this.path = path;
    this.#ownBytes = options.ownBytes;
  }

  /** Makes and mounts what is missing of it; costs two stats when nothing is. Records that lie in the plain directory move over. */
  async ensure(): Promise<void> {
    if (this.#ownBytes === undefined || !isMountPoint(this.path)) {
      await mkdir(this.path, { recursive: true, mode: 0o700 });
    }
    if (this.#ownBytes !== undefined && !isMountPoint(this.path)) {
      await using _lock = await lockFile(`${this.path}.lock`);
      if (!isMountPoint(this.path)) {
        await this.#mount(this.#ownBytes);
      }
    }
  }

  async #mount(sizeBytes: number): Promise<void> {
    using stack = new DisposableStack();
    const flags = constants.O_RDONLY | constants.O_DIRECTORY;
    const below = stack.adopt(openSync(this.path, flags), closeSync);
    await mountTmpfs({ target: this.path, sizeBytes, mode: 0o700 });
    // What is covered now can still be reached by its descriptor.
    const covered = `/proc/self/fd/${String(below)}`;
    for (const name of (await readdir(covered)).filter(isRecord)) {
      await move(join(covered, name), join(this.path, name));
    }
    // Those who watch what is covered now learn of it: a mount by itself is no change of a directory.
    const now = new Date();
    await utimes(covered, now, now);
  }

  /** Unmounts it when no record lies in it and nobody is in it; else it stays as it is. */
  async release(): Promise<void> {
    try {
      if (isMountPoint(this.path) && readdirSync(this.path).length === 0) {
        await unmount(this.path);
      }
    } catch {
      // The next one to start finds it, and uses it.
    }
  }
}

/** Conmon writes under a temporary name with a dot in it and renames; ids have none. */
export function isRecord(name: string): boolean {
  return !name.includes('.');
}

/** The time of a record is that of the end, and a watcher sees it only when it is whole. */
async function move(from: string, to: string): Promise<void> {
  const { atimeMs, mtimeMs } = await stat(from);
  await copyFile(from, `${to}.new`);
  await utimes(`${to}.new`, atimeMs / 1000, mtimeMs / 1000);
  await rename(`${to}.new`, to);
  await rm(from);
}

function isMountPoint(path: string): boolean {
  const own = statSync(path, { throwIfNoEntry: false });
  return own !== undefined && own.dev !== statSync(dirname(path)).dev;
}

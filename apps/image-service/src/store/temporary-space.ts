import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, makeDirectoryApart, tryLockFile } from '@gantry/host';

/** A place that is gone when it is disposed of, unless it was moved away by then. */
export interface TemporaryPath extends AsyncDisposable {
  readonly path: string;
  /** Renames it; the caller's from then on. Rejects as rename(2) does, and changes nothing then. */
  moveTo(path: string): Promise<void>;
}

/**
 * Where unfinished things lie: `tmp/<process>/`, beside a lock file that its
 * process holds. The kernel drops the lock when the process dies, so that the
 * next one to start knows whose remains may go.
 */
export class TemporarySpace implements AsyncDisposable {
  readonly #own: string;
  readonly #lock: AsyncDisposable;

  private constructor(own: string, lock: AsyncDisposable) {
    this.#own = own;
    this.#lock = lock;
  }

  /** Takes a place of its own below `root` and removes what dead processes left there. */
  static async open(root: string): Promise<TemporarySpace> {
    await mkdir(root, { recursive: true, mode: 0o700 });
    for (;;) {
      const own = join(root, randomBytes(8).toString('hex'));
      const lock = tryLockFile(`${own}.lock`, { remove: true });
      // Another that starts now may have tried the new file first, to see whether it is a remain.
      if (lock !== undefined) {
        await mkdir(own, { mode: 0o700 });
        await removeRemains(root);
        return new TemporarySpace(own, lock);
      }
    }
  }

  /** A path that nothing lies at yet. */
  file(): TemporaryPath {
    return temporaryPath(join(this.#own, randomBytes(8).toString('hex')));
  }

  /** A new, empty directory. */
  async directory(): Promise<TemporaryPath> {
    const place = this.file();
    await mkdir(place.path, { mode: 0o700 });
    return place;
  }

  /** The same, for many files. */
  directoryApart(): TemporaryPath {
    const place = this.file();
    makeDirectoryApart(place.path, 0o700);
    return place;
  }

  /** Removes a tree: gone under its name at once, from the disk when this resolves. Missing is a success. */
  async discard(path: string): Promise<void> {
    await using trash = this.file();
    try {
      await rename(path, trash.path);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) {
        throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#own, { recursive: true, force: true });
    await this.#lock[Symbol.asyncDispose]();
  }
}

/** One turn of the thread pool, where `rm` takes several. Missing is a success. */
export async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) {
      throw error;
    }
  }
}

function temporaryPath(path: string): TemporaryPath {
  let isMoved = false;
  return {
    path,
    moveTo: async (target) => {
      await rename(path, target);
      isMoved = true;
    },
    [Symbol.asyncDispose]: async () => {
      if (!isMoved) {
        await rm(path, { recursive: true, force: true });
      }
    },
  };
}

async function removeRemains(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const path = join(root, name.replace(/\.lock$/, ''));
    const lock = tryLockFile(`${path}.lock`, { remove: true });
    if (lock !== undefined) {
      try {
        await rm(path, { recursive: true, force: true });
      } finally {
        await lock[Symbol.asyncDispose]();
      }
    }
  }
}

import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { hasCode } from '@gantry/host';

export interface WatchOptions {
  /** How long after a failed scan, or without inotify, the directory is read again. Default 1,000. */
  readonly retryMs?: number;
}

/**
 * Runs `scan` once and again after every change in `dir`; never twice at a time, and changes that
 * come together cost one scan. A scan reads the whole directory, so that a burst which overflows
 * the kernel's queue loses nothing. The directory may not exist yet, may be deleted and made anew.
 * Where the host has no inotify left, the directory is read every `retryMs`. A scan that throws is
 * tried again. Resolves after the first scan; rejects with its error.
 */
export async function watchDirectory(
  dir: string,
  scan: () => Promise<void>,
  options: WatchOptions = {},
): Promise<AsyncDisposable> {
  const watched = new WatchedDirectory(dir, scan, options.retryMs ?? 1000);
  try {
    await watched.start();
  } catch (error) {
    await watched[Symbol.asyncDispose]();
    throw error;
  }
  return watched;
}

class WatchedDirectory implements AsyncDisposable {
  readonly #dir: string;
  readonly #scan: () => Promise<void>;
  readonly #retryMs: number;
  #watcher: FSWatcher | undefined;
  /** Which directory the watcher stands on; undefined while it has to be set anew. */
  #identity: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #dirty = false;
  #disposed = false;

  constructor(dir: string, scan: () => Promise<void>, retryMs: number) {
    this.#dir = dir;
    this.#scan = scan;
    this.#retryMs = retryMs;
  }

  async start(): Promise<void> {
    // As a loop does: what changes meanwhile waits for its own scan.
    const first = this.#armAndScan();
    this.#running = first;
    try {
      await first;
    } finally {
      this.#running = undefined;
    }
    if (this.#dirty) {
      this.#kick();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    // A scan that is under way may still set a watcher or a timer.
    await this.#running;
    clearTimeout(this.#timer);
    this.#disarm();
  }

  #kick(): void {
    this.#dirty = true;
    if (!this.#disposed) {
      this.#running ??= this.#loop().finally(() => {
        this.#running = undefined;
      });
    }
  }

  async #loop(): Promise<void> {
    while (this.#isPending()) {
      this.#dirty = false;
      try {
        await this.#armAndScan();
      } catch {
        this.#kickLater();
      }
    }
  }

  async #armAndScan(): Promise<void> {
    await this.#arm();
    await this.#scan();
  }

  #isPending(): boolean {
    return this.#dirty && !this.#disposed;
  }

  #kickLater(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#kick(), this.#retryMs);
  }

  /** Puts the watcher on the directory, or on the nearest one above it that exists. */
  async #arm(): Promise<void> {
    let target = await nearestExisting(this.#dir);
    // Directories may appear or go between the look and the watch, hence the look after it.
    while (this.#identity !== target.identity) {
      this.#disarm();
      try {
        this.#watcher = this.#watch(target.path);
        this.#identity = target.identity;
      } catch (error) {
        if (!hasCode(error, 'ENOENT')) {
          this.#kickLater();
          return;
        }
      }
      target = await nearestExisting(this.#dir);
    }
  }

  #watch(path: string): FSWatcher {
    const watcher = watch(path, (_event, name) => {
      // A directory that is itself deleted or moved is told under its own name.
      if (name === null || name === basename(path)) {
        this.#identity = undefined;
      }
      this.#kick();
    });
    watcher.on('error', () => {
      this.#disarm();
      this.#kickLater();
    });
    return watcher;
  }

  #disarm(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#identity = undefined;
  }
}

/** The directory itself or the nearest one above it, and which one it is. */
async function nearestExisting(dir: string): Promise<{ path: string; identity: string }> {
  for (let path = dir; ; path = dirname(path)) {
    const identity = await identityOf(path);
    if (identity !== undefined) {
      return { path, identity };
    }
  }
}

/** Inode numbers are used again at once, so the time of birth tells a new directory from the old. */
async function identityOf(dir: string): Promise<string | undefined> {
  try {
    const { dev, ino, birthtimeNs } = await stat(dir, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  } catch (error) {
    if (dir === dirname(dir)) {
      throw error;
    }
    return undefined;
  }
}

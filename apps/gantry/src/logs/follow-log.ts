import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '@gantry/host';
import { LogCutter, type LogEntry } from './cri-log.ts';

const chunkBytes = 64 * 1024;
// Only a net below the kernel's notices: they can be missed on some file systems.
const lookAnywayMs = 1000;

export interface FollowOptions {
  /** Asked at the end of what has been written: false ends the log. */
  readonly mayGrow: () => Promise<boolean>;
  readonly signal: AbortSignal;
}

/** Everything that a log file holds now. A file that is not there is empty: nothing was written yet. */
export async function* readLog(path: string): AsyncIterable<LogEntry> {
  await using file = await openIfThere(path);
  if (file !== undefined) {
    yield* readOn(file, new LogCutter());
  }
}

/**
 * What is written to a log file from its beginning on, also after it has been rotated: the old file is
 * read to its end before the new one. Ends when `mayGrow` says so or `signal` aborts.
 */
export async function* followLog(path: string, options: FollowOptions): AsyncIterable<LogEntry> {
  using changes = new Changes(dirname(path));
  let cutter = new LogCutter();
  let file = await openIfThere(path);
  try {
    while (!options.signal.aborted) {
      // Asked before the read: what was written before the end is read then.
      const grows = await options.mayGrow();
      if (file !== undefined) {
        yield* readOn(file, cutter);
      }
      if (file === undefined || (await isRotated(path, file))) {
        const next = await openIfThere(path);
        if (next !== undefined) {
          if (file !== undefined) {
            yield* readOn(file, cutter); // The writer may have gone on before it opened the new one.
          }
          await file?.close();
          file = next;
          cutter = new LogCutter();
          continue;
        }
      }
      if (!grows) {
        return;
      }
      await changes.next(options.signal);
    }
  } finally {
    await file?.close();
  }
}

async function* readOn(file: FileHandle, cutter: LogCutter): AsyncIterable<LogEntry> {
  for (;;) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes);
    if (bytesRead === 0) {
      return;
    }
    yield* cutter.push(buffer.subarray(0, bytesRead));
  }
}

async function isRotated(path: string, file: FileHandle): Promise<boolean> {
  try {
    return (await stat(path)).ino !== (await file.stat()).ino;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return false; // Renamed, and the new one is not there yet.
    }
    throw error;
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return undefined;
    }
    throw error;
  }
}

/** Notices of changes in a directory; one that comes between two calls of `next` is not lost. */
class Changes implements Disposable {
  readonly #watcher: FSWatcher | undefined;
  #pending = false;
  #wake: (() => void) | undefined;

  constructor(directory: string) {
    try {
      this.#watcher = watch(directory, () => {
        this.#pending = true;
        this.#wake?.();
      });
      this.#watcher.on('error', () => undefined);
    } catch {
      // No such directory yet, or no watch left: the timer will do.
    }
  }

  async next(signal: AbortSignal): Promise<void> {
    if (!this.#pending) {
      const done = new AbortController();
      this.#wake = () => {
        done.abort();
      };
      await sleep(lookAnywayMs, undefined, {
        signal: AbortSignal.any([signal, done.signal]),
      }).catch(() => undefined);
      this.#wake = undefined;
    }
    this.#pending = false;
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}

import { watch } from 'node:fs';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** How the instances of a service, in any process, tell each other that there is something to read. */
export interface WakeFile extends Disposable {
  /** Wakes every instance, this one too; many calls at once may wake once. */
  wake(): void;
}

/**
 * Watches a file in `directory` that is touched to wake others: the kernel
 * tells them, and nothing is written that could fail on a full disk. The
 * directory is made where it is missing. `onError` is told of a touch or a
 * watch that failed.
 */
export async function openWakeFile(
  directory: string,
  onWake: () => void,
  onError: (error: unknown) => void,
): Promise<WakeFile> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, 'wake');
  await writeFile(path, '');
  const watcher = watch(directory, { persistent: false }, onWake);
  watcher.on('error', onError);
  let touching = false;
  let again = false;
  const touch = async (): Promise<void> => {
    touching = true;
    try {
      for (again = true; again; ) {
        again = false;
        const now = new Date();
        await utimes(path, now, now).catch(() => writeFile(path, ''));
      }
    } finally {
      touching = false;
    }
  };
  return {
    wake() {
      again = true;
      if (!touching) {
        touch().catch((error: unknown) => {
          onError(error);
          // Those of this instance at least.
          onWake();
        });
      }
    },
    [Symbol.dispose]() {
      watcher.close();
    },
  };
}

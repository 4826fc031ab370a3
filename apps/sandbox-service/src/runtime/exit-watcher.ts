import { mkdir, readdir } from 'node:fs/promises';
import { isRecord } from './exit-directory.ts';
import { watchDirectory } from './watch-directory.ts';

/**
 * Calls `onExit` once for each exit record in `exitDir`, those that are there already included
 * (before the promise resolves). Makes the directory anew if it goes: conmon would lose the exit
 * of a container without it. A record that was removed and comes again counts anew.
 */
export async function watchExits(
  exitDir: string,
  onExit: (id: string) => void,
): Promise<AsyncDisposable> {
  let known = new Set<string>();
  return watchDirectory(exitDir, async () => {
    await mkdir(exitDir, { recursive: true, mode: 0o755 });
    const found = new Set((await readdir(exitDir)).filter(isRecord));
    const fresh = found.difference(known);
    known = found;
    for (const id of fresh) {
      onExit(id);
    }
  });
}

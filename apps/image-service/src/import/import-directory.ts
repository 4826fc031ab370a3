import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@gantry/errors';
import { hasCode, writeFileAtomic } from '@gantry/host';
import type { Logger } from '@gantry/telemetry';
import type { Locks } from '../images/locks.ts';
import type { ImportedImage } from './import-images.ts';

interface Deps {
  /** Volatile: every boot of the host imports anew. */
  readonly stateDirectory: string;
  readonly locks: Locks;
  readonly importImages: (
    from: { readonly path: string },
    name: string,
    signal: AbortSignal,
  ) => Promise<readonly ImportedImage[]>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/** Path of an archive -> what tells that it has changed. */
type Seen = Record<string, string>;

/**
 * Imports every archive and layout that lies in `directory`, in name order: for
 * nodes without a registry. One that fails is told in the log and keeps no
 * other from it; one that was imported since the host started, and has not
 * changed, is passed over. Never rejects.
 */
export async function importDirectory(
  deps: Deps,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    // Replicas take turns, and the later ones find that all is done.
    await using _lock = await deps.locks.take('name', directory, signal);
    await mkdir(deps.stateDirectory, { recursive: true, mode: 0o700 });
    const file = join(deps.stateDirectory, 'imported.json');
    const seen = await readSeen(file);
    for (const name of (await readdir(directory)).sort()) {
      signal.throwIfAborted();
      const path = join(directory, name);
      if (await importOne(deps, path, seen, signal)) {
        await writeFileAtomic(file, JSON.stringify(seen), { mode: 0o600 });
      }
    }
  } catch (error) {
    if (!signal.aborted) {
      deps.log.warn({ error: messageOf(error) }, `import of ${directory} failed`);
    }
  }
}

async function importOne(
  { importImages, log }: Deps,
  path: string,
  seen: Seen,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const { mtimeMs, ino, size } = await stat(path);
    const version = `${ino} ${size} ${mtimeMs}`;
    if (seen[path] === version) {
      return false;
    }
    const images = await importImages({ path }, '', signal);
    seen[path] = version;
    log.info({ images: images.flatMap(({ names }) => names) }, `imported ${path}`);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    log.warn({ error: messageOf(error) }, `${path} is not imported`);
    return false;
  }
}

async function readSeen(file: string): Promise<Seen> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Seen;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return {};
    }
    throw error;
  }
}

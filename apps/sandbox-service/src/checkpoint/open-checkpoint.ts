import { lstat, mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { kindOf, RuntimeError } from '@gantry/errors';
import { object, optional, safeParse, string } from 'valibot';
import { isMissing } from '../errno.ts';
import type { Paths } from '../paths.ts';
import type { CallOptions } from '../ports.ts';
import { unpackArchive, unpackRoot } from './archive.ts';

/** A checkpoint that a container is to be made of. */
export interface OpenCheckpoint {
  /** The image that its container was made of, by id and, should that be gone, by name. */
  readonly images: readonly string[];
  /** Puts back what that one had written to its root. */
  restoreRoot(upperDir: string, options?: CallOptions): Promise<void>;
}

const configDump = object({
  rootfsImageRef: optional(string(), ''),
  rootfsImageName: optional(string(), ''),
  rootfsImage: optional(string(), ''),
});

/** Whether the image of a request is the path of an archive: no image has such a name. */
export function isCheckpoint(image: string): boolean {
  return image.startsWith('/');
}

/**
 * Unpacks an archive for a container that is to be made of it; what CRIU needs
 * stays at `paths.checkpoint(id)`. Throws `invalid-argument` for what is no checkpoint.
 */
export async function openCheckpoint(
  paths: Pick<Paths, 'checkpoint'>,
  id: string,
  archive: string,
  options: CallOptions = {},
): Promise<OpenCheckpoint> {
  await requireOfRoot(archive);
  const directory = paths.checkpoint(id);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  try {
    await unpackArchive(archive, directory, options);
    const dump = safeParse(configDump, JSON.parse(await readOwn(directory, 'config.dump')));
    if (!dump.success) {
      throw new Error(`config.dump: ${dump.issues[0].message}`);
    }
    if (!(await lstat(join(directory, 'checkpoint'))).isDirectory()) {
      throw new Error('checkpoint: no directory');
    }
    const { rootfsImageRef, rootfsImageName, rootfsImage } = dump.output;
    const images = [rootfsImageRef, rootfsImageName, rootfsImage].filter((name) => name !== '');
    return {
      images: [...new Set(images)],
      restoreRoot: (upperDir, more) => restoreRoot(directory, upperDir, more),
    };
  } catch (cause) {
    const kind = options.signal?.aborted === true ? kindOf(cause) : 'invalid-argument';
    throw new RuntimeError(kind, `${archive} is no checkpoint`, { cause });
  }
}

async function restoreRoot(
  directory: string,
  upperDir: string,
  options?: CallOptions,
): Promise<void> {
  const file = join(directory, 'rootfs-diff.tar');
  const stats = await lstat(file).catch((error: unknown) => {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  });
  if (stats?.isFile() === true) {
    await unpackRoot(file, upperDir, options);
  }
}

/** Memory and files of a stranger's choice would run as root: only root may have put it there. */
async function requireOfRoot(archive: string): Promise<void> {
  const stats = await stat(archive).catch((cause: unknown) => {
    const kind = isMissing(cause) ? 'not-found' : kindOf(cause);
    throw new RuntimeError(kind, `checkpoint ${archive}: not there`, { cause });
  });
  if (!stats.isFile() || stats.uid !== 0 || (stats.mode & 0o022) !== 0) {
    throw new RuntimeError(
      'invalid-argument',
      `checkpoint ${archive}: must be a file of root that nobody else can write`,
    );
  }
}

/** A file of the archive itself, not one of the host that a link of it names. */
async function readOwn(directory: string, name: string): Promise<string> {
  const path = join(directory, name);
  const stats = await lstat(path);
  if (!stats.isFile() || stats.size > 1 << 20) {
    throw new Error(`${name}: not a small plain file`);
  }
  return readFile(path, 'utf8');
}

import { constants } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { kindOf, RuntimeError } from '@gantry/errors';
import { setXattr } from './inode.ts';
import { lazily } from './libc.ts';
import { hasCode, requireCleanPath } from './system-error.ts';

/*
 * SELinux labels of files: the attribute security.selinux, which a kernel
 * without SELinux lets root set all the same. Its value ends with a NUL.
 */

const attribute = 'security.selinux';
const atOnce = 64;

const lgetxattr = lazily<[Buffer, string, Buffer, number]>('lgetxattr', [
  'void *',
  'str',
  'void *',
  'ulong',
]);

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/**
 * Gives a file, or a directory with all in it, a label; what has it already is left
 * alone, and so is what can't have one (EOPNOTSUPP, a read-only file system). Symbolic
 * links get labels and are never followed: each directory is opened by a path that
 * nobody can bend, so that who can write to the tree leads us nowhere else. Aborting
 * leaves some of it labelled.
 */
export async function labelTree(
  path: string,
  label: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  requireCleanPath(path, `label ${path}`);
  const value = Buffer.from(`${label}\0`);
  setLabel(Buffer.from(path), value, `label ${path}`);
  const root = await openDirectory(path);
  if (root !== undefined) {
    await labelEntries(root, value, { path, signal });
  }
}

async function labelEntries(
  directory: FileHandle,
  value: Buffer,
  o: { readonly path: string; readonly signal: AbortSignal | undefined },
): Promise<void> {
  await using _ = directory;
  const place = Buffer.from(`/proc/self/fd/${String(directory.fd)}/`);
  const entries = await readdir(place, { withFileTypes: true, encoding: 'buffer' });
  for (const [index, entry] of entries.entries()) {
    if (index % atOnce === 0) {
      await turn();
      o.signal?.throwIfAborted();
    }
    const path = Buffer.concat([place, entry.name]);
    try {
      setLabel(path, value, `label ${o.path}`);
    } catch (error) {
      if (hasCode(error instanceof Error ? error.cause : undefined, 'ENOENT')) {
        continue;
      }
      throw error;
    }
    const inner = entry.isDirectory() ? await openDirectory(path) : undefined;
    if (inner !== undefined) {
      await labelEntries(inner, value, o);
    }
  }
}

/** Undefined for what is no directory, or no longer. */
async function openDirectory(path: string | Buffer): Promise<FileHandle | undefined> {
  try {
    return await open(path, directoryFlags);
  } catch (error) {
    if (hasCode(error, 'ENOTDIR', 'ELOOP', 'ENOENT')) {
      return undefined;
    }
    throw error;
  }
}

function setLabel(path: Buffer, value: Buffer, doing: string): void {
  const now = Buffer.alloc(value.length);
  const length = lgetxattr()(Buffer.concat([path, Buffer.alloc(1)]), attribute, now, now.length);
  if (length === value.length && now.equals(value)) {
    return;
  }
  try {
    setXattr(path, attribute, value);
  } catch (cause) {
    if (!hasCode(cause, 'ENOTSUP', 'EOPNOTSUPP', 'EROFS')) {
      throw new RuntimeError(kindOf(cause), doing, { cause });
    }
  }
}

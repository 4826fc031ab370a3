import { readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { hasCode, requireCleanPath } from './system-error.ts';

// As many as Linux follows (MAXSYMLINKS in include/linux/namei.h).
const maxLinks = 40;

/**
 * Where `path` leads for a process whose root directory is `root`: links are
 * followed inside it, absolute ones start at it, `..` stops at it. Components
 * that do not exist are kept as they are. The answer holds as long as nobody
 * else changes the tree: resolve before a container's first process runs, not
 * beside it. Throws `invalid-argument` for a loop of links or a path with a NUL,
 * and the system's error when `root` itself is not there.
 */
export async function resolveInRoot(root: string, path: string): Promise<string> {
  const doing = `resolve ${JSON.stringify(path)} in ${root}`;
  requireCleanPath(`/${path}`, doing);
  const base = await realpath(root);
  const pending = path.split('/').reverse();
  const done: string[] = [];
  let links = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '' || name === '.') {
      continue;
    }
    if (name === '..') {
      done.pop();
      continue;
    }
    const target = await linkAt(join(base, ...done, name));
    if (target === undefined) {
      done.push(name);
      continue;
    }
    links += 1;
    if (links > maxLinks) {
      throw new RuntimeError('invalid-argument', `${doing}: too many levels of symbolic links`);
    }
    if (target.startsWith('/')) {
      done.length = 0;
    }
    pending.push(...target.split('/').reverse());
  }
  return join(base, ...done);
}

/** The target of a symbolic link; undefined for anything else, also for what is not there. */
async function linkAt(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if (hasCode(error, 'EINVAL', 'ENOENT', 'ENOTDIR')) {
      return undefined;
    }
    throw error;
  }
}

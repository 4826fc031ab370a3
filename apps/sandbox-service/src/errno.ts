import { type ErrorKind, kindOf } from '@gantry/errors';

const badPath: ReadonlySet<string> = new Set([
  ...['ELOOP', 'ENAMETOOLONG', 'ENOTDIR', 'EEXIST'],
  // Made where nothing can be: in /proc, in /sys, on a read-only file system.
  ...['ENOENT', 'EPERM', 'EACCES', 'EROFS'],
]);

/** The file, or a directory on the way to it, is not there. */
export function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/**
 * The path of a directory to be made leads nowhere: links in a circle, a file where a directory should be, too long a name,
 * or a place where there can be none.
 */
export function isBadPath(error: unknown): boolean {
  return badPath.has(codeOf(error));
}

const exhausted: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'ENOMEM']);

/** As `kindOf`, and `resource-exhausted` where Node's own errors say in their code what there is no more of. */
export function kindOfFailure(error: unknown): ErrorKind {
  const kind = kindOf(error);
  for (let e = error; kind === 'internal' && e instanceof Error; e = e.cause) {
    if (exhausted.has(codeOf(e))) {
      return 'resource-exhausted';
    }
  }
  return kind;
}

/** As in errno(3); '' for other errors. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

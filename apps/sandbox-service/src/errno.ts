import { type ErrorKind, kindOf } from '@gantry/errors';

const badPath: ReadonlySet<string> = new Set(['ELOOP', 'ENAMETOOLONG', 'ENOTDIR', 'EEXIST']);

/** The file, or a directory on the way to it, is not there. */
export function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** The path itself leads nowhere: links in a circle, a file where a directory should be, too long a name. */
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

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

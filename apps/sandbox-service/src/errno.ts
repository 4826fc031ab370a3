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

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

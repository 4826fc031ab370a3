import { getSystemErrorMessage, getSystemErrorName } from 'node:util';
import { type ErrorKind, RuntimeError } from '@gantry/errors';

/** A refused system call; `code` is the errno's name, as on Node's own errors. */
export class SystemError extends RuntimeError {
  readonly code: string;

  constructor(kind: ErrorKind, code: string, message: string, options?: ErrorOptions) {
    super(kind, message, options);
    this.code = code;
  }
}

// ENOENT is no 'not-found' here: that would tell a client that its container is
// gone, when it is a directory of ours that is.
const kinds: Readonly<Record<string, ErrorKind>> = {
  EACCES: 'permission-denied',
  EDQUOT: 'resource-exhausted',
  EMFILE: 'resource-exhausted',
  ENFILE: 'resource-exhausted',
  ENOMEM: 'resource-exhausted',
  ENOSPC: 'resource-exhausted',
  ENOSYS: 'failed-precondition',
  EPERM: 'permission-denied',
};

/** Those that libuv, and so Node, has no name for. */
const unnamed: Readonly<Record<number, readonly [name: string, text: string]>> = {
  10: ['ECHILD', 'no child processes'],
  15: ['ENOTBLK', 'block device required'],
};

/** The error of a system call: `<doing>: <text> (<ERRNO>)`, with what to do where that is known. */
export function systemError(errno: number, doing: string, detail = ''): SystemError {
  const [code, text] = unnamed[errno] ?? [
    getSystemErrorName(-errno),
    getSystemErrorMessage(-errno),
  ];
  const parts = [doing, `${text} (${code})`];
  if (detail !== '') {
    parts.push(detail);
  }
  if (code === 'EPERM' && process.geteuid?.() !== 0) {
    parts.push('this needs root');
  }
  return new SystemError(kinds[code] ?? 'internal', code, parts.join(': '));
}

/** Reports whether `error` is of the system, from Node or from here, with one of these errno names. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    codes.includes(error.code)
  );
}

/** Throws where a path can't be handed to C. An embedded NUL would silently cut it short. */
export function requireCleanPath(path: string, doing: string): void {
  if (path === '' || path.includes('\0')) {
    throw new RuntimeError('invalid-argument', `${doing}: the path is empty or has a NUL in it`);
  }
}

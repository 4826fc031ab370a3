import { type ErrorKind, RuntimeError } from '@gantry/errors';

// Result codes of https://sqlite.org/rescode.html.
const busy = 5;
const readOnly = 8;
const corrupt = 11;
const full = 13;
const ioErrorWrite = 778;
const cannotOpen = 14;
const notADatabase = 26;
const constraintPrimaryKey = 1555;
const constraintUnique = 2067;

const told: Readonly<Record<number, { kind: ErrorKind; advice: string }>> = {
  [busy]: { kind: 'unavailable', advice: 'another process holds the file for too long' },
  [readOnly]: { kind: 'permission-denied', advice: 'the file or its directory is not writable' },
  [corrupt]: { kind: 'failed-precondition', advice: moveAside() },
  [full]: { kind: 'resource-exhausted', advice: 'no space left on device' },
  [cannotOpen]: { kind: 'failed-precondition', advice: 'the file cannot be opened' },
  [notADatabase]: { kind: 'failed-precondition', advice: moveAside() },
};

/**
 * Turns what node:sqlite throws into a RuntimeError that names the file. A
 * unique key that is taken is `already-exists`, a full disk
 * `resource-exhausted`, a lock held too long `unavailable`. Everything that
 * did not come from SQLite is returned as it is.
 */
export function storeError(error: unknown, path: string, doing: string): unknown {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') {
    return error;
  }
  const code = error.errcode;
  if (code === constraintUnique || code === constraintPrimaryKey) {
    return new RuntimeError('already-exists', `${doing} ${path}`, { cause: error });
  }
  // The low byte is the primary code; the rest only refines it.
  const { kind, advice } = told[code & 0xff] ?? { kind: 'internal', advice: '' };
  const words = advice === '' ? `${doing} ${path}` : `${doing} ${path}: ${advice}`;
  return new RuntimeError(kind, words, { cause: error });
}

/** Whether SQLite says that the disk is full: in so many words, or as a write that failed. */
export function isFull(error: unknown): boolean {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') {
    return false;
  }
  return (error.errcode & 0xff) === full || error.errcode === ioErrorWrite;
}

/** What an operator can do with a file whose content can't be trusted. */
export function moveAside(): string {
  return 'the database file is damaged; stop Gantry, move it and its -wal and -shm files away or put a backup in its place, and start again';
}

import { closeSync, constants, fchmodSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { makeDirectoriesSync } from '../make-directories.ts';

/** Log collectors read logs by group. Conmon itself would make the file 0600. */
export const logFileMode = 0o640;

/** Conmon reads so many bytes at a time: of a longer line each part is a line marked P. No option changes it. */
export const longestLogLineBytes = 8192;

// A fifo in the log's place is refused, or nobody could say how long the open takes.
const flags =
  constants.O_WRONLY |
  constants.O_CREAT |
  constants.O_APPEND |
  constants.O_NOFOLLOW |
  constants.O_NONBLOCK;

/** Makes the log file and its directory before conmon opens it; what is there is kept. */
export function prepareLogFile(logPath: string): void {
  try {
    makeDirectoriesSync(dirname(logPath), 0o755);
    using stack = new DisposableStack();
    const fd = stack.adopt(openSync(logPath, flags, logFileMode), closeSync);
    fchmodSync(fd, logFileMode);
  } catch (cause) {
    throw new RuntimeError('internal', `make log file ${logPath}`, { cause });
  }
}

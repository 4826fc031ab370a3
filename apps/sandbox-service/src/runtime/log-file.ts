import { constants } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { RuntimeError } from '@gantry/errors';

/** Log collectors read logs by group. Conmon itself would make the file 0600. */
export const logFileMode = 0o640;

/** Makes the log file and its directory before conmon opens it; what is there is kept. */
export async function prepareLogFile(logPath: string): Promise<void> {
  try {
    await mkdir(dirname(logPath), { recursive: true, mode: 0o755 });
    const flags =
      constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
    await using file = await open(logPath, flags, logFileMode);
    await file.chmod(logFileMode);
  } catch (cause) {
    throw new RuntimeError('internal', `make log file ${logPath}`, { cause });
  }
}

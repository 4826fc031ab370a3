import { constants } from 'node:fs';
import { chmod, lstat, open, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { hasCode, type ProcessId } from '@gantry/host';
import { logFileMode } from './log-file.ts';
import { watchDirectory } from './watch-directory.ts';

export interface ReopenTarget {
  readonly bundleDir: string;
  readonly logPath: string;
  /** The container's conmon; undefined when it has ended. */
  readonly monitor: ProcessId | undefined;
}

/**
 * Has conmon open the log file anew, and resolves when it writes to the file at `logPath`. A file
 * that was not moved away is left as it is: conmon would replace it, and its lines with it.
 * Throws `failed-precondition` when the container does not run, `deadline-exceeded` after
 * `timeoutMs`.
 */
export async function reopenLog(target: ReopenTarget, timeoutMs = 10_000): Promise<void> {
  const { monitor, logPath } = target;
  const doing = `reopen log ${logPath}`;
  if (monitor === undefined) {
    throw new RuntimeError('failed-precondition', `${doing}: the container is not running`);
  }
  if (await holds(monitor, logPath)) {
    return;
  }
  // Conmon writes beside it first, and follows links.
  await refuseLink(`${logPath}.tmp`, doing);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  await using _watch = await watchDirectory(dirname(logPath), async () => {
    if (await holds(monitor, logPath)) {
      resolve();
    }
  });
  await tellConmon(target, doing);
  const timer = setTimeout(
    () =>
      reject(
        new RuntimeError(
          'deadline-exceeded',
          `${doing}: conmon (pid ${monitor.pid}) has not opened it`,
        ),
      ),
    timeoutMs,
  );
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
  await chmod(logPath, logFileMode);
}

async function refuseLink(path: string, doing: string): Promise<void> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats?.isSymbolicLink()) {
    throw new RuntimeError('failed-precondition', `${doing}: ${path} is a symbolic link`);
  }
}

/** Message 2 on conmon's control fifo is "reopen the logs"; the sizes are for message 1, resize. */
async function tellConmon({ bundleDir }: ReopenTarget, doing: string): Promise<void> {
  try {
    await using fifo = await open(
      join(bundleDir, 'ctl'),
      constants.O_WRONLY | constants.O_NONBLOCK,
    );
    await fifo.write('2 0 0\n');
  } catch (error) {
    if (hasCode(error, 'ENXIO') || hasCode(error, 'ENOENT')) {
      throw new RuntimeError('failed-precondition', `${doing}: the container is not running`, {
        cause: error,
      });
    }
    throw new RuntimeError('internal', doing, { cause: error });
  }
}

/** Whether the process has the file that is now at `path` open. */
async function holds({ pid }: ProcessId, path: string): Promise<boolean> {
  const file = await identityOf(path);
  if (file === undefined) {
    return false;
  }
  const dir = `/proc/${pid}/fd`;
  const fds = await readdir(dir).catch(() => []);
  const open = await Promise.all(fds.map((fd) => identityOf(join(dir, fd))));
  return open.includes(file);
}

async function identityOf(path: string): Promise<string | undefined> {
  return stat(path, { bigint: true }).then(
    ({ dev, ino }) => `${dev}:${ino}`,
    () => undefined,
  );
}

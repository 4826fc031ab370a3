import { closeSync, existsSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerExit } from '../ports.ts';
import { hadOomKill, readBundleFacts } from './container-cgroup.ts';

/** The code of a process that SIGKILL ended, which is how the kernel frees memory. */
const killedCode = 137;

/**
 * How a container ended, from what conmon has written: the code in the exit directory, or its copy
 * in the bundle, which containers have that an earlier version has started. The time is when the record was written, which
 * conmon does right after the last of the log. Undefined when there is no record.
 */
export async function readExit(
  exitDir: string,
  id: string,
  bundleDir: string,
): Promise<ContainerExit | undefined> {
  const record = readRecord(join(exitDir, id)) ?? readRecord(join(bundleDir, 'exit'));
  if (record === undefined) {
    return undefined;
  }
  return { ...record, oomKilled: await wasOomKilled(bundleDir, record.exitCode) };
}

function readRecord(file: string): Omit<ContainerExit, 'oomKilled'> | undefined {
  try {
    using stack = new DisposableStack();
    const fd = stack.adopt(openSync(file, 'r'), closeSync);
    const text = readFileSync(fd, 'utf8');
    const { mtimeNs } = fstatSync(fd, { bigint: true });
    return { exitCode: exitCodeOf(text), finishedAtNanos: mtimeNs };
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  }
}

/** Conmon writes -1 when it lost sight of the container; 255 stands for that, as elsewhere. */
function exitCodeOf(text: string): number {
  const code = /^\s*(\d{1,3})\s*$/.exec(text)?.[1];
  return code === undefined ? 255 : Number(code);
}

/**
 * Conmon marks an out-of-memory kill with a file. The mark can come late, when the container ends
 * in the same moment; so a killed container's cgroup is asked too, as long as it is there.
 */
async function wasOomKilled(bundleDir: string, exitCode: number): Promise<boolean> {
  if (existsSync(join(bundleDir, 'oom'))) {
    return true;
  }
  if (exitCode !== killedCode) {
    return false;
  }
  const cgroupPath = cgroupPathOf(bundleDir);
  return cgroupPath !== undefined && (await hadOomKill(cgroupPath));
}

/** Undefined also where there is no bundle any more. */
function cgroupPathOf(bundleDir: string): string | undefined {
  try {
    return readBundleFacts(bundleDir).cgroupPath;
  } catch {
    return undefined;
  }
}

function isMissing(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ENOENT' || error.code === 'ENOTDIR')
  );
}

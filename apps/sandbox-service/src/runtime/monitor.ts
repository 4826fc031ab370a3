import { readFile } from 'node:fs/promises';
import { identifyProcess, type ProcessId } from '@gantry/host';
import { monitorPidFileOf } from './conmon-arguments.ts';

/**
 * The running conmon of a bundle, found by its pid file; undefined when it has ended. Its command
 * line is compared, since the pid may belong to another process by now.
 */
export async function findMonitor(bundleDir: string): Promise<ProcessId | undefined> {
  const pid = await readPid(monitorPidFileOf(bundleDir));
  const monitor = pid === undefined ? undefined : await identifyProcess(pid);
  if (monitor === undefined) {
    return undefined;
  }
  const commandLine = await readFile(`/proc/${monitor.pid}/cmdline`, 'utf8').catch(() => '');
  return commandLine.includes(`\0--bundle\0${bundleDir}\0`) ? monitor : undefined;
}

/** The number in a pid file; undefined when there is no such file or no number in it yet. */
export async function readPid(file: string): Promise<number | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
}

import { readdir, readFile } from 'node:fs/promises';
import { identifyProcess, type ProcessId } from '@gantry/host';
import { monitorPidFileOf } from './conmon-arguments.ts';

/**
 * The running conmon of a bundle, found by its pid file; undefined when it has ended. Its command
 * line is compared, since the pid may belong to another process by now.
 */
export async function findMonitor(bundleDir: string): Promise<ProcessId | undefined> {
  const pid = await readPid(monitorPidFileOf(bundleDir));
  return pid === undefined ? undefined : monitorWithPid(pid, bundleDir);
}

/**
 * Every conmon of a bundle, found by a look at all processes: for when a service has died between
 * the start of conmon and conmon's writing of its pid file.
 */
export async function searchMonitors(bundleDir: string): Promise<readonly ProcessId[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map((pid) => monitorWithPid(pid, bundleDir)));
  return found.filter((monitor) => monitor !== undefined);
}

async function monitorWithPid(pid: number, bundleDir: string): Promise<ProcessId | undefined> {
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return commandLine.includes(`\0--bundle\0${bundleDir}\0`) ? identifyProcess(pid) : undefined;
}

/** The number in a pid file; undefined when there is no such file or no number in it yet. */
export async function readPid(file: string): Promise<number | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
}

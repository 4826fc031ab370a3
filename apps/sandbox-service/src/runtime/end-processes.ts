import type { ProcessId } from '../ports.ts';
import { pidFileOf } from './conmon-arguments.ts';
import { killAndWait, killCgroup, waitForAll } from './kill-container.ts';
import type { LaunchRecord } from './launch-record.ts';
import { findMonitor, inSessionsOf, readPid, searchMakers, untilDecided } from './monitor.ts';
import { killThawed } from './stuck-process.ts';

/** How long conmon may take to end after its container. */
const monitorEndMs = 10_000;

/**
 * A service that died in create() leaves a conmon whose runtime may still be at work, and would
 * finish the container behind our back. The runtime's pid file is written when it is done. Returns
 * whether it was not there.
 */
export async function endUnfinishedCreate(
  what: string,
  bundleDir: string | undefined,
): Promise<boolean> {
  if (bundleDir === undefined || readPid(pidFileOf(bundleDir)) !== undefined) {
    return false;
  }
  await untilDecided();
  await killMakers(what, bundleDir);
  return true;
}

/**
 * Kills what is at work on the creation of a container, and waits for its end. The runtime dies
 * with conmon (PR_SET_PDEATHSIG), but nobody would know when, and what crun forks does not: they
 * would go on to make directories and cgroups.
 */
export async function killMakers(what: string, bundleDir: string): Promise<void> {
  const leaders: ProcessId[] = [];
  for (;;) {
    const makers = await searchMakers(bundleDir);
    leaders.push(...makers);
    const left = [...makers, ...inSessionsOf(leaders)];
    if (left.length === 0) {
      return;
    }
    await killAndWait(`the making of ${what}`, left);
  }
}

/** Kills the first process of a container. */
export async function killFirst(
  what: string,
  init: ProcessId,
  record: LaunchRecord | undefined,
): Promise<void> {
  await killThawed(record?.cgroupPath, () => killAndWait(what, [init]));
}

/** Kills every process in the cgroup of a container. */
export async function killStragglers(what: string, { cgroupPath }: LaunchRecord): Promise<void> {
  if (cgroupPath !== undefined) {
    await killThawed(cgroupPath, () => killCgroup(what, cgroupPath));
  }
}

/** Conmon ends by itself once it has written down the exit; one that hangs is killed. */
export async function waitForMonitor(what: string, monitor: ProcessId): Promise<void> {
  try {
    await waitForAll(`wait for conmon of ${what}`, [monitor], monitorEndMs);
  } catch {
    await killAndWait(`conmon of ${what}`, [monitor]);
  }
}

/** The conmon of a launch; undefined when it has ended. */
export async function monitorOf(record: LaunchRecord | undefined): Promise<ProcessId | undefined> {
  return record?.bundleDir === undefined ? undefined : findMonitor(record.bundleDir);
}

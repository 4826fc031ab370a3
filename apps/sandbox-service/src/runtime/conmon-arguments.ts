import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { sealedProgram } from '@gantry/host';
import type { ContainerLaunch } from '../ports.ts';

/** Where one container's files lie. */
export interface LaunchPaths {
  /** The runtime's own state (`--root`). */
  readonly runtimeRoot: string;
  /** Conmon writes the exit code of container X to X in this directory. */
  readonly exitDir: string;
}

/** The pid of the container's first process, written by the runtime when it has created it. */
export function pidFileOf(bundleDir: string): string {
  return join(bundleDir, 'pidfile');
}

/** The pid of the container's conmon. */
export function monitorPidFileOf(bundleDir: string): string {
  return join(bundleDir, 'conmon.pid');
}

/** Where conmon listens for those who attach (`--full-attach`). */
export function attachSocketOf(bundleDir: string): string {
  return join(bundleDir, 'attach');
}

/** The fifo through which conmon is told of window sizes, and to open its log anew. */
export function controlFifoOf(bundleDir: string): string {
  return join(bundleDir, 'ctl');
}

/**
 * Conmon's command line (conmon(8), version 2.1). Full attach puts the attach socket at
 * `<bundle>/attach`. No persist-dir: conmon writes its copy of the exit code there first, and where
 * that finds no room it writes none to the exit directory either. Logs are not synced at exit: containers do not outlive a host crash, and a
 * sync would hold back the exit record for as long as the disk is busy.
 */
export function conmonArguments(launch: ContainerLaunch, paths: LaunchPaths): string[] {
  const { id, bundleDir, handler } = launch;
  return [
    ...['--api-version', '1', '--cid', id, '--cuuid', id, '--name', launch.name],
    ...['--runtime', sealedProgram(handler.path), `--runtime-arg=--root=${paths.runtimeRoot}`],
    ...['--bundle', bundleDir, '--container-pidfile', pidFileOf(bundleDir)],
    ...['--conmon-pidfile', monitorPidFileOf(bundleDir)],
    ...['--exit-dir', paths.exitDir],
    ...['--full-attach', '--no-sync-log', '--log-path', logDriver(launch)],
    ...(handler.systemdCgroup ? ['--systemd-cgroup'] : []),
    ...(launch.restoreFrom === undefined ? [] : ['--restore', launch.restoreFrom]),
    ...(launch.tty ? ['--terminal'] : []),
    ...(launch.stdin ? ['--stdin'] : []),
    // Of a terminal it would close the master: a client that leaves must not hang up the container.
    ...(launch.stdin && (launch.tty || !launch.stdinOnce) ? ['--leave-stdin-open'] : []),
  ];
}

/** `k8s-file` is conmon's name for the CRI log format. */
function logDriver({ id, logPath }: ContainerLaunch): string {
  if (logPath === undefined) {
    return 'off';
  }
  if (logPath.includes(':')) {
    // Conmon cuts driver and path at every colon, and would write to another file.
    throw new RuntimeError(
      'invalid-argument',
      `create container ${id}: log path ${JSON.stringify(logPath)} must not contain a colon`,
    );
  }
  return `k8s-file:${logPath}`;
}

import { constants } from 'node:os';
import { RuntimeError } from '@gantry/errors';
import {
  identifyProcess,
  listCgroupProcesses,
  type ProcessId,
  signalProcess,
  waitForExit,
} from '@gantry/host';
import { describeStuck } from './stuck-process.ts';

const { SIGKILL } = constants.signals;

/** A killed process that is still there after this hangs in the kernel; more waiting is the caller's choice. */
const killTimeoutMs = 20_000;

/** Sends SIGKILL and resolves when the processes have ended; throws `deadline-exceeded` naming those that have not. */
export async function killAndWait(what: string, processes: readonly ProcessId[]): Promise<void> {
  await Promise.all(processes.map((process) => signalProcess(process, SIGKILL)));
  await waitForAll(`kill ${what}`, processes);
}

/** Resolves when all have ended; throws `deadline-exceeded` naming those that have not. */
export async function waitForAll(
  doing: string,
  processes: readonly ProcessId[],
  timeoutMs = killTimeoutMs,
): Promise<void> {
  const signal = AbortSignal.timeout(timeoutMs);
  const waits = processes.map(async (process) => {
    try {
      await waitForExit(process, { signal });
    } catch (error) {
      if (!signal.aborted) {
        throw error;
      }
      const why = await describeStuck(process.pid);
      const message = `${doing}: process ${process.pid} (${why}) is still there after ${timeoutMs} ms`;
      throw new RuntimeError('deadline-exceeded', message);
    }
  });
  await Promise.all(waits);
}

/**
 * Kills what is in a container's cgroup until it is empty: with the host's or the pod's pid
 * namespace the kernel does not end the others along with the first process.
 */
export async function killCgroup(what: string, cgroupPath: string): Promise<void> {
  const deadline = performance.now() + killTimeoutMs;
  for (;;) {
    const pids = await listCgroupProcesses(cgroupPath);
    if (pids.length === 0) {
      return;
    }
    if (performance.now() > deadline) {
      const message = `kill ${what}: cgroup ${cgroupPath} still holds processes ${pids.join(', ')}`;
      throw new RuntimeError('deadline-exceeded', message);
    }
    const processes = await Promise.all(pids.map((pid) => identifyProcess(pid)));
    await killAndWait(
      what,
      processes.filter((process) => process !== undefined),
    );
  }
}

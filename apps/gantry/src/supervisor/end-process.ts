import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, type ProcessId, signalProcess } from '@gantry/host';

const lookAgainMs = 25;

/**
 * Asks a process to end, and kills it when it has not within `graceMs`. Resolves once it is gone;
 * a process that is gone already is a success.
 */
export async function endProcess(process: ProcessId, graceMs: number): Promise<void> {
  if (!(await signalProcess(process, 'SIGTERM'))) {
    return;
  }
  for (let waitedMs = 0; waitedMs < graceMs; waitedMs += lookAgainMs) {
    if (!(await isRunning(process))) {
      return;
    }
    await sleep(lookAgainMs);
  }
  await signalProcess(process, 'SIGKILL');
  while (await isRunning(process)) {
    await sleep(lookAgainMs);
  }
}

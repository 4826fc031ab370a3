import type { Config } from '@gantry/config';
import { isRunning, tryLockFile } from '@gantry/host';
import { endProcess } from './end-process.ts';
import { readStackState, removeStackState, supervisorPaths } from './stack-state.ts';

/** The supervisor itself waits 22 s for its services, and then for NATS. */
export const supervisorGraceMs = 50_000;
const childGraceMs = 22_000;

/**
 * Stops the supervisor of a stack and with it the services and NATS; also those that a killed
 * supervisor has left. Gives the names of what ran. Nothing that runs is a success.
 */
export async function stopStack(config: Config): Promise<readonly string[]> {
  const state = await readStackState(config);
  if (state === undefined) {
    return [];
  }
  const stopped: string[] = [];
  let children = state.children;
  if (await isRunning(state.supervisor)) {
    stopped.push('supervisor', ...children.map((child) => child.name));
    await endProcess(state.supervisor, supervisorGraceMs);
    // Read again: when it had to be killed, it may have started one anew meanwhile.
    children = (await readStackState(config))?.children ?? [];
  }
  await Promise.all(
    children.map(async ({ name, process }) => {
      if (process !== undefined && (await isRunning(process))) {
        if (!stopped.includes(name)) {
          stopped.push(name);
        }
        await endProcess(process, childGraceMs);
      }
    }),
  );
  // Another `up` may have begun meanwhile: what it wrote is not ours to remove.
  await using held = tryLockFile(supervisorPaths(config).lock);
  if (held !== undefined) {
    await removeStackState(config);
  }
  return stopped;
}

import { readdirSync, readFileSync } from 'node:fs';
import { type ProcessId, signalProcess } from '@gantry/host';

/**
 * Kills all processes that descend from `root`, not `root` itself. Each is
 * stopped before its children are looked at, so that none can start another
 * one unseen. What was handed to another parent before is out of reach.
 * Returns how many there were that had not ended.
 */
export async function killDescendants(root: number): Promise<number> {
  const family = new Map<number, ProcessId>();
  for (let isComplete = false; !isComplete; ) {
    isComplete = true;
    // All parents again each time: with CLONE_PARENT a child hands its own child to its parent.
    for (const parent of [root, ...family.keys()]) {
      for (const process of childrenOf(parent)) {
        if (!family.has(process.pid)) {
          family.set(process.pid, process);
          isComplete = false;
          await signalProcess(process, 'SIGSTOP');
        }
      }
    }
  }
  const killed = await Promise.all(
    [...family.values()].map((process) => signalProcess(process, 'SIGKILL')),
  );
  return killed.filter(Boolean).length;
}

/** Kills `process` and all that descend from it. */
export async function killFamily(process: ProcessId): Promise<void> {
  await signalProcess(process, 'SIGSTOP');
  await killDescendants(process.pid);
  await signalProcess(process, 'SIGKILL');
}

/** Every process that any thread of `pid` has started (proc_tid_children(5)). */
function childrenOf(pid: number): ProcessId[] {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    // It has ended.
    return [];
  }
  return threads
    .flatMap((thread) => readOr(`/proc/${pid}/task/${thread}/children`).split(' '))
    .filter((child) => child !== '')
    .map((child) => childOf(pid, Number(child)))
    .filter((process) => process !== undefined);
}

/** Undefined when it was reaped meanwhile: then its pid may have gone to a stranger. */
function childOf(parent: number, pid: number): ProcessId | undefined {
  const text = readOr(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[1]) === parent ? { pid, startTime: fields[19] ?? '' } : undefined;
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import { identifyProcess, isRunning, type ProcessId } from '@gantry/host';
import { killFamily } from '../exec/process-tree.ts';

const ticksPerSecond = 100; // USER_HZ: the same on every architecture that Node runs on.
const slackTicks = ticksPerSecond;

/**
 * Kills the execs of an instance that was killed itself: the runtime processes
 * that work on files in `directory` with all they started, and the processes
 * in pid files whose runtime is gone. Returns how many of both there were.
 */
export async function killLeftovers(directory: string): Promise<number> {
  const helpers = (await Promise.all(helperPids(directory).map(identifyProcess))).filter(
    (process) => process !== undefined,
  );
  for (const helper of helpers) {
    await killFamily(helper);
  }
  let count = helpers.length;
  for (const process of await recordedProcesses(directory)) {
    await killFamily(process);
    count += 1;
  }
  return count;
}

/** Processes with the arguments `exec ... --process <directory>/<n>.json`. */
function helperPids(directory: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .filter((pid) => {
      const args = readOr(`/proc/${pid}/cmdline`).split('\0');
      const file = args[args.indexOf('--process') + 1] ?? '';
      return args.includes('exec') && file.startsWith(`${directory}/`) && file.endsWith('.json');
    })
    .map(Number);
}

/**
 * The processes that runtimes wrote into pid files and that still run. A pid
 * may have gone to another process since: the one that is meant started after
 * its process file was written and before its pid file was.
 */
async function recordedProcesses(directory: string): Promise<ProcessId[]> {
  const found: ProcessId[] = [];
  for (const name of readdirSync(directory).filter((file) => file.endsWith('.pid'))) {
    const path = join(directory, name);
    const process = await identifyProcess(Number(readOr(path)) || 1);
    if (process !== undefined && process.pid > 1 && (await isRunning(process))) {
      const ticks = Number(process.startTime);
      const earliest = ticksOf(path.replace(/\.pid$/, '.json')) - slackTicks;
      if (ticks >= earliest && ticks <= ticksOf(path) + slackTicks) {
        found.push(process);
      }
    }
  }
  return found;
}

/** When a file was written, in clock ticks since boot; NaN, which compares with nothing, when it is not there. */
function ticksOf(path: string): number {
  const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Number.NaN };
  const bootedAtMs = Date.now() - uptime() * 1000;
  return ((mtimeMs - bootedAtMs) / 1000) * ticksPerSecond;
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

import { mkdir, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '@gantry/config';
import { identifyProcess, isRunning, type ProcessId } from '@gantry/host';
import { endProcess } from './end-process.ts';

/** It ends the supervisor that it has started, and waits for that. */
const graceMs = 60_000;

/**
 * Writes down that this process brings a stack up, from before there is a supervisor, so that
 * `gantry down` finds it. Taken back when disposed of.
 */
export async function announceStart(config: Config): Promise<AsyncDisposable> {
  const dir = startsDir(config);
  const own = await identifyProcess(process.pid);
  const file = join(dir, `${process.pid}.json`);
  try {
    await mkdir(dir, { recursive: true, mode: 0o711 });
    await writeFile(file, JSON.stringify(own), { mode: 0o640 });
  } catch {
    // What stands in the way of this is told when the directories are checked.
  }
  return {
    [Symbol.asyncDispose]: async () => {
      await rm(file, { force: true }).catch(() => undefined);
      // Only where nothing else has come into them.
      await rmdir(dir).catch(() => undefined);
      await rmdir(config.state_dir).catch(() => undefined);
    },
  };
}

/** Those that bring this stack up at the moment, this process not among them. */
export async function startsUnderWay(config: Config): Promise<readonly ProcessId[]> {
  const dir = startsDir(config);
  const names = await readdir(dir).catch(() => []);
  const found = await Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(dir, name), 'utf8').catch(() => '');
      const start = parse(text);
      return start !== undefined && start.pid !== process.pid && (await isRunning(start))
        ? [start]
        : [];
    }),
  );
  return found.flat();
}

/** Interrupts those, and waits until they have undone what they did. Gives which there were. */
export async function endStarts(config: Config): Promise<readonly ProcessId[]> {
  const starts = await startsUnderWay(config);
  await Promise.all(starts.map((start) => endProcess(start, graceMs)));
  return starts;
}

function startsDir(config: Config): string {
  return join(config.state_dir, 'starting');
}

/** Undefined for a file that is not written yet. */
function parse(text: string): ProcessId | undefined {
  try {
    return JSON.parse(text) as ProcessId;
  } catch {
    return undefined;
  }
}

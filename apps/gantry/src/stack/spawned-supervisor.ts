import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { identifyProcess } from '@gantry/host';
import { endProcess } from '../supervisor/end-process.ts';
import { closeLog, logSize, openLog } from '../supervisor/log-file.ts';
import { supervisorGraceMs } from '../supervisor/stop-stack.ts';

/** A supervisor that `gantry up` has started in the background. */
export interface SpawnedSupervisor {
  /** How long its log was before. */
  readonly logFrom: number;
  /** How it ended; undefined while it runs. */
  ended(): string | undefined;
  /** Ends it with its services, also when it has not come so far as to write down that it runs. */
  end(): Promise<void>;
}

/** Starts it in a session of its own: it outlives this terminal. */
export async function spawnSupervisor(
  logFile: string,
  args: readonly string[],
): Promise<SpawnedSupervisor> {
  const log = await openLog(logFile);
  try {
    const logFrom = logSize(log);
    const main = join(import.meta.dirname, '../main.ts');
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', main, 'supervise', ...args],
      { stdio: ['ignore', log, log], detached: true, cwd: '/' },
    );
    let ended: string | undefined;
    child.once('error', () => undefined);
    child.once('exit', (code, signal) => {
      ended = signal === null ? `exit code ${code}` : `signal ${signal}`;
    });
    if (child.pid === undefined) {
      throw new RuntimeError('internal', `start the supervisor: ${process.execPath} can't be run`);
    }
    child.unref();
    const identity = await identifyProcess(child.pid);
    return {
      logFrom,
      ended: () => ended,
      end: async () => {
        if (identity !== undefined) {
          await endProcess(identity, supervisorGraceMs);
        }
      },
    };
  } finally {
    closeLog(log);
  }
}

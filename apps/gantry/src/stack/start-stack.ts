import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import { closeLog, logSize, openLog } from '../supervisor/log-file.ts';
import { runningStack, supervisorPaths } from '../supervisor/stack-state.ts';
import { stopStack } from '../supervisor/stop-stack.ts';
import { checkPorts } from './check-ports.ts';
import { ensureSandboxImage } from './sandbox-image.ts';
import { waitUntilReady } from './wait-until-ready.ts';

export interface StartOptions {
  readonly config: Config;
  readonly configFile: string | undefined;
  readonly compact: boolean;
  /** Start a supervisor in the background; false means that the caller runs it. */
  readonly spawn: boolean;
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Brings a stack up and waits until every service answers and the sandbox image is there. When it
 * does not come up, what was started is stopped again, and the error says which service failed, and why.
 */
export async function startStack(options: StartOptions): Promise<{ readonly wasUp: boolean }> {
  const { config, note } = options;
  if (options.spawn && (await runningStack(config)) !== undefined) {
    await waitUntilReady(options);
    return { wasUp: true };
  }
  await using undo = new AsyncDisposableStack();
  let logFrom = 0;
  if (options.spawn) {
    const left = await stopStack(config);
    if (left.length > 0) {
      note(`ended what a supervisor that died had left: ${left.join(', ')}`);
    }
    await checkPorts(config);
    undo.defer(async () => {
      await stopStack(config);
    });
    logFrom = await spawnSupervisor(options);
  }
  await waitUntilReady({ ...options, logFrom, isPatient: !options.spawn });
  await ensureSandboxImage(config, { note, signal: options.signal });
  undo.move();
  return { wasUp: false };
}

/** Gives how long its log was before. */
async function spawnSupervisor(options: StartOptions): Promise<number> {
  const { config, configFile } = options;
  await makeDirectories(config);
  const log = await openLog(supervisorPaths(config).log);
  const before = logSize(log);
  try {
    const args = [
      '--disable-warning=ExperimentalWarning',
      join(import.meta.dirname, '../main.ts'),
      'supervise',
      ...(configFile === undefined ? [] : ['--config', configFile]),
      ...(options.compact ? ['--compact'] : []),
    ];
    // A session of its own: it outlives this terminal.
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', log, log],
      detached: true,
      cwd: '/',
    });
    child.on('error', () => undefined);
    if (child.pid === undefined) {
      throw new RuntimeError('internal', `start the supervisor: ${process.execPath} can't be run`);
    }
    child.unref();
    return before;
  } finally {
    closeLog(log);
  }
}

async function makeDirectories(config: Config): Promise<void> {
  try {
    await mkdir(config.state_dir, { recursive: true, mode: 0o711 });
    await mkdir(config.root_dir, { recursive: true, mode: 0o711 });
    await mkdir(dirname(config.grpc.socket), { recursive: true, mode: 0o711 });
  } catch (cause) {
    throw new RuntimeError('failed-precondition', 'make root_dir and state_dir', { cause });
  }
}

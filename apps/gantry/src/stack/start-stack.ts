import { stat } from 'node:fs/promises';
import { type Config, defaultConfigFile } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import {
  addressOf,
  runningStack,
  type StackState,
  supervisorPaths,
} from '../supervisor/stack-state.ts';
import { stopStack } from '../supervisor/stop-stack.ts';
import { checkDirectories } from './check-directories.ts';
import { checkPorts } from './check-ports.ts';
import { ensureSandboxImage } from './sandbox-image.ts';
import { type SpawnedSupervisor, spawnSupervisor } from './spawned-supervisor.ts';
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
  const running = options.spawn ? await runningStack(config) : undefined;
  if (running !== undefined) {
    checkSameStack(config, running);
    await tellNewerConfig(options, running);
    await waitUntilReady({ ...options, compact: running.compact });
    return { wasUp: true };
  }
  await checkDirectories(config);
  await using undo = new AsyncDisposableStack();
  let supervisor: SpawnedSupervisor | undefined;
  if (options.spawn) {
    const left = await stopStack(config);
    if (left.length > 0) {
      note(`ended what a supervisor that died had left: ${left.join(', ')}`);
    }
    await checkPorts(config);
    const spawned = await spawnSupervisor(supervisorPaths(config).log, [
      ...(options.configFile === undefined ? [] : ['--config', options.configFile]),
      ...(options.compact ? ['--compact'] : []),
    ]);
    supervisor = spawned;
    undo.defer(async () => {
      await spawned.end();
      await stopStack(config);
    });
  }
  await waitUntilReady({ ...options, supervisor, isPatient: !options.spawn });
  await ensureSandboxImage(config, { note, signal: options.signal });
  undo.move();
  return { wasUp: false };
}

/** That the services have read the file before it was last written is told. */
export async function tellNewerConfig(
  { configFile = defaultConfigFile, note }: Pick<StartOptions, 'configFile' | 'note'>,
  { startedAtMs }: Pick<StackState, 'startedAtMs'>,
): Promise<void> {
  const changedAtMs = (await stat(configFile).catch(() => undefined))?.mtimeMs ?? 0;
  if (changedAtMs > startedAtMs) {
    note(
      `${configFile} has changed since: it counts after gantry down and gantry up (pods keep running)`,
    );
  }
}

/** That a config which differs in where a stack is to be reached is told, and not waited for in vain. */
export function checkSameStack(config: Config, running: StackState): void {
  const wanted = addressOf(config);
  const differing = Object.entries(running.address ?? {}).filter(
    ([key, value]) => wanted[key] !== value,
  );
  if (differing.length > 0) {
    const differences = differing.map(([key, value]) => `${key} ${value}, not ${wanted[key]}`);
    throw new RuntimeError(
      'already-exists',
      `a stack runs in state_dir ${config.state_dir} with ${differences.join('; ')}. Stop it first (gantry down), or set another state_dir in the config file`,
    );
  }
}

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import { hasCode, isRunning, type ProcessId, writeFileAtomic } from '@gantry/host';
import { natsServers } from '@gantry/service-kit';

/** One supervised process, as it was last seen. */
export interface ChildState {
  readonly name: string;
  /** Absent while it waits to be started again. */
  readonly process?: ProcessId;
  readonly starts: number;
  /** How the last run ended: `exit code 1`, `signal SIGKILL`. */
  readonly lastExit?: string;
}

/** The keys of the config, by their names, that two configs share when they mean the same stack. */
export type StackAddress = Readonly<Record<string, string>>;

export function addressOf(config: Config): StackAddress {
  return {
    node_name: config.node_name,
    root_dir: config.root_dir,
    'grpc.socket': config.grpc.socket,
    'nats.url': natsServers(config),
    'nats.credentials_dir': config.nats.credentials_dir,
  };
}

/** What the supervisor writes down, for `up`, `down` and its own successor. */
export interface StackState {
  readonly supervisor: ProcessId;
  readonly startedAtMs: number;
  readonly compact: boolean;
  /** Absent in what an older version wrote. */
  readonly address?: StackAddress;
  readonly children: readonly ChildState[];
}

/** Where the supervisor of a stack keeps what it keeps. */
export function supervisorPaths(config: Config): {
  lock: string;
  state: string;
  logDir: string;
  log: string;
} {
  return {
    lock: join(config.state_dir, 'supervisor.lock'),
    state: join(config.state_dir, 'supervisor.json'),
    logDir: join(config.state_dir, 'log'),
    log: join(config.state_dir, 'log', 'supervisor.log'),
  };
}

/** What the last supervisor wrote; undefined when there was none. It may be dead by now. */
export async function readStackState(config: Config): Promise<StackState | undefined> {
  const path = supervisorPaths(config).state;
  try {
    return JSON.parse(await readFile(path, 'utf8')) as StackState;
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) {
      return undefined;
    }
    if (hasCode(cause, 'EACCES')) {
      throw new RuntimeError(
        'permission-denied',
        `read ${path}: it must be root. Run it again with sudo`,
      );
    }
    throw new RuntimeError('failed-precondition', `read ${path}`, { cause });
  }
}

export async function writeStackState(config: Config, state: StackState): Promise<void> {
  await writeFileAtomic(supervisorPaths(config).state, `${JSON.stringify(state)}\n`, {
    mode: 0o640,
    durable: false,
  });
}

export async function removeStackState(config: Config): Promise<void> {
  await rm(supervisorPaths(config).state, { force: true });
}

/** The state of a stack whose supervisor runs; undefined when it does not. */
export async function runningStack(config: Config): Promise<StackState | undefined> {
  const state = await readStackState(config);
  return state !== undefined && (await isRunning(state.supervisor)) ? state : undefined;
}

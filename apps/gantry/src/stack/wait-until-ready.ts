import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bus, connectBus } from '@gantry/bus';
import type { Config } from '@gantry/config';
import { kindOf, messageOf, RuntimeError } from '@gantry/errors';
import { hasCode } from '@gantry/host';
import { credentialsFile, gatherHealth, type HealthReport, natsServers } from '@gantry/service-kit';
import { expectedInstances, type ServiceApp, serviceApps } from '../supervisor/child-plan.ts';
import { anotherRuns } from '../supervisor/run-supervisor.ts';
import { readStackState, supervisorPaths } from '../supervisor/stack-state.ts';
import { lastTrouble } from './last-trouble.ts';
import type { SpawnedSupervisor } from './spawned-supervisor.ts';

const lookAgainMs = 50;
const gatherMs = 400;
/** A service that has died so often without coming up will not. */
const startsBeforeGivingUp = 4;

export interface ReadyOptions {
  readonly config: Config;
  readonly compact: boolean;
  /** The one that was started for this; undefined when one has been running: starts that it counted are of the past. */
  readonly supervisor?: SpawnedSupervisor | undefined;
  /** Tell every minute what is missing, and go on waiting: for a unit that systemd starts on a busy host. */
  readonly isPatient?: boolean;
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Waits until every service of the stack answers on the bus, at most a minute unless it is to be patient. A service that
 * answers with a problem is up: the problem is told as a note. Throws `unavailable` with the log's
 * last complaint of the service that is missing.
 */
export async function waitUntilReady(options: ReadyOptions): Promise<void> {
  const { config, note } = options;
  const begunMs = Date.now();
  const waiting = new Set(expectedInstances(config, options.compact).keys());
  const late = new AbortController();
  let hasNats = false;
  const missing = (seconds: number): string =>
    hasNats
      ? noAnswer(config, waiting, seconds)
      : `no NATS at ${natsServers(config)} within ${seconds} s. ${config.nats.url === '' ? `See ${supervisorPaths(config).logDir}/nats-server.log` : 'Does it run, and is nats.url right?'}`;
  const signal = AbortSignal.any([options.signal, late.signal]);
  using _limit = everyMinute((minutes) => {
    if (options.isPatient === true) {
      note(`${missing(minutes * 60)}. Waiting on`);
    } else {
      late.abort();
    }
  });
  try {
    await waitForCredentials(options, begunMs, signal);
    await using bus = await connect(options, begunMs, signal);
    hasNats = true;
    while (waiting.size > 0) {
      await failIfHopeless(options, begunMs);
      // All at once: each answer takes as long as nobody else comes forward.
      await Promise.all(
        [...waiting].map(async (app) => {
          const reports = await healthOf(bus, app);
          if (reports.length >= (expectedInstances(config, options.compact).get(app) ?? 1)) {
            waiting.delete(app);
            tellProblems(app, reports, note);
          }
        }),
      );
      signal.throwIfAborted();
      await sleep(lookAgainMs, undefined, { signal });
    }
  } catch (error) {
    options.signal.throwIfAborted();
    if (signal.aborted) {
      throw new RuntimeError('unavailable', `start Gantry: ${missing(60)}`);
    }
    throw error;
  }
}

function everyMinute(act: (minutes: number) => void): Disposable {
  let minutes = 0;
  const timer = setInterval(() => {
    minutes += 1;
    act(minutes);
  }, 60_000);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function noAnswer(config: Config, waiting: ReadonlySet<ServiceApp>, seconds: number): string {
  const { logDir } = supervisorPaths(config);
  return `no answer from ${[...waiting].join(', ')} within ${seconds} s. See the logs in ${logDir}`;
}

async function healthOf(bus: Bus, app: ServiceApp): Promise<HealthReport[]> {
  try {
    return await gatherHealth(bus, serviceApps[app], gatherMs);
  } catch {
    return []; // Nobody there yet, or NATS is just being started again.
  }
}

function tellProblems(
  app: ServiceApp,
  reports: readonly HealthReport[],
  note: (text: string) => void,
): void {
  for (const { problem } of reports) {
    if (problem !== undefined) {
      note(`${app}: ${problem}`);
    }
  }
}

/** The supervisor writes them just before it starts NATS. */
async function waitForCredentials(
  options: ReadyOptions,
  begunMs: number,
  signal: AbortSignal,
): Promise<void> {
  const file = credentialsFile(options.config, 'cli');
  while (options.config.nats.url === '' && !(await exists(file))) {
    await failIfHopeless(options, begunMs);
    await sleep(lookAgainMs, undefined, { signal });
  }
}

async function connect(options: ReadyOptions, begunMs: number, signal: AbortSignal): Promise<Bus> {
  const { config } = options;
  const file = credentialsFile(config, 'cli');
  const stopWatching = new AbortController();
  const watch = async (): Promise<never> => {
    for (;;) {
      await sleep(lookAgainMs, undefined, { signal: stopWatching.signal });
      await failIfHopeless(options, begunMs);
    }
  };
  const connecting = new AbortController();
  try {
    return await Promise.race([
      connectBus({
        node: config.node_name,
        service: 'cli',
        servers: natsServers(config),
        signal: AbortSignal.any([signal, connecting.signal]),
        ...((await exists(file)) ? { credentialsFile: file } : {}),
      }),
      watch(),
    ]);
  } catch (error) {
    connecting.abort();
    if (kindOf(error) === 'unauthenticated') {
      const text = `${messageOf(error)}. It does not know the users of ${config.nats.credentials_dir}: is it the NATS of this stack?`;
      throw new RuntimeError('unauthenticated', text);
    }
    throw error;
  } finally {
    stopWatching.abort();
  }
}

/** Throws when the supervisor has gone or a process dies again and again. */
async function failIfHopeless(options: ReadyOptions, begunMs: number): Promise<void> {
  const { supervisor } = options;
  if (supervisor === undefined) {
    return;
  }
  const { log, logDir } = supervisorPaths(options.config);
  const state = await readStackState(options.config);
  if (state === undefined) {
    await failIfEnded(supervisor, log, begunMs);
    return;
  }
  for (const child of state.children) {
    if (child.starts >= startsBeforeGivingUp && child.lastExit !== undefined) {
      const file = join(logDir, `${child.name}.log`);
      const trouble = await lastTrouble(file, begunMs).catch(messageOf);
      throw new RuntimeError(
        'unavailable',
        `start ${child.name}: ${trouble ?? child.lastExit}. See ${file}`,
      );
    }
  }
}

async function failIfEnded(
  supervisor: SpawnedSupervisor,
  log: string,
  begunMs: number,
): Promise<void> {
  const ended = supervisor.ended();
  if (ended !== undefined) {
    const trouble = await lastTrouble(log, begunMs, supervisor.logFrom);
    const why =
      trouble?.replace(/^gantry: /, '') ?? `the supervisor ended with ${ended}. See ${log}`;
    // Of two that start at once one gives way, and waits for the other.
    if (!why.includes(anotherRuns)) {
      throw new RuntimeError('unavailable', `start Gantry: ${why}`);
    }
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return false;
    }
    throw error;
  }
}

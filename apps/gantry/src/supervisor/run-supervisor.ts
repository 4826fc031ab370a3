import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeNatsConfig } from '@gantry/bus';
import type { Config } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import { findTool, identifyProcess, isRunning, missingTool, tryLockFile } from '@gantry/host';
import { type ChildPlan, planServices } from './child-plan.ts';
import { endProcess } from './end-process.ts';
import { type KeptProcess, keepRunning } from './keep-running.ts';
import { rotateLog } from './log-file.ts';
import type { Report } from './report.ts';
import {
  addressOf,
  readStackState,
  removeStackState,
  supervisorPaths,
  writeStackState,
} from './stack-state.ts';

const maxLogBytes = 16 << 20;
const rotateEveryMs = 30_000;
const orphanGraceMs = 22_000;

/** How the refusal of a second one in the same state_dir ends. */
export const anotherRuns = 'another supervisor runs there';

export interface SupervisorOptions {
  readonly config: Config;
  readonly configFile: string | undefined;
  readonly compact: boolean;
  readonly report: Report;
  /** Stops everything: the services first, NATS last. */
  readonly signal: AbortSignal;
}

/**
 * Keeps NATS and the services of one stack running until `signal` aborts. Only one can do so at a
 * time: the kernel lets go of its lock when it dies. Processes that a killed predecessor left are
 * ended first. Rejects with `already-exists` when another has the lock, or one of another state_dir has root_dir.
 */
export async function runSupervisor(options: SupervisorOptions): Promise<void> {
  const { config, report, signal } = options;
  const paths = supervisorPaths(config);
  await mkdir(paths.logDir, { recursive: true, mode: 0o750 });
  await mkdir(config.root_dir, { recursive: true, mode: 0o711 });
  await using held = tryLockFile(paths.lock);
  if (held === undefined) {
    throw new RuntimeError('already-exists', `supervise ${config.state_dir}: ${anotherRuns}`);
  }
  await using owned = tryLockFile(join(config.root_dir, 'owner.lock'));
  if (owned === undefined) {
    throw new RuntimeError(
      'already-exists',
      `root_dir ${config.root_dir} is in use by a stack with another state_dir. Stop that, or set root_dir in the config file`,
    );
  }
  await endOrphans(config, report);

  const kept: KeptProcess[] = [];
  const own = await identifyProcess(process.pid);
  if (own === undefined) {
    throw new RuntimeError('internal', `find process ${process.pid} in /proc`);
  }
  const startedAtMs = Date.now();
  const record = serially(async () => {
    await writeStackState(config, {
      supervisor: own,
      startedAtMs,
      compact: options.compact,
      address: addressOf(config),
      children: kept.map((k) => k.state),
    });
  });
  const onChange = (): void => {
    record().catch((error: unknown) => {
      report('error', `write ${paths.state}: ${String(error)}`);
    });
  };
  const keep = (plan: ChildPlan): void => {
    const logFile = join(paths.logDir, `${plan.name}.log`);
    kept.push(keepRunning(plan, { logFile, onChange, report }));
  };

  await record();
  const rotation = setInterval(() => {
    for (const { state } of kept) {
      rotateLog(join(paths.logDir, `${state.name}.log`), maxLogBytes).catch((error: unknown) => {
        report('error', `rotate the log of ${state.name}: ${String(error)}`);
      });
    }
  }, rotateEveryMs);
  try {
    if (config.nats.url === '') {
      keep(await planNats(config));
    }
    for (const plan of planServices(config, options)) {
      keep(plan);
    }
    await aborted(signal);
  } finally {
    clearInterval(rotation);
    await stopAll(kept, config.nats.url === '');
    await record();
    await removeStackState(config);
  }
}

async function planNats(config: Config): Promise<ChildPlan> {
  const command = findTool(config.nats.path);
  if (command === undefined) {
    throw new RuntimeError('failed-precondition', missingTool(config.nats.path));
  }
  const { configFile } = await writeNatsConfig({
    node: config.node_name,
    dir: config.nats.credentials_dir,
    host: config.nats.host,
    port: config.nats.port,
  });
  // A message wakes one thread then, instead of two: a call through the bus takes a tenth less.
  return {
    name: 'nats-server',
    command,
    args: ['--config', configFile],
    env: { GOMAXPROCS: '1' },
  };
}

/** Services answer what they have begun while NATS is still there to carry it. */
async function stopAll(kept: readonly KeptProcess[], hasNats: boolean): Promise<void> {
  const services = hasNats ? kept.slice(1) : kept;
  await Promise.all(services.map((k) => k[Symbol.asyncDispose]()));
  await Promise.all(kept.map((k) => k[Symbol.asyncDispose]()));
}

async function endOrphans(config: Config, report: Report): Promise<void> {
  const before = await readStackState(config);
  await Promise.all(
    (before?.children ?? []).map(async ({ name, process }) => {
      if (process !== undefined && (await isRunning(process))) {
        report('warn', `${name} is left from a supervisor that died: ending pid ${process.pid}`);
        await endProcess(process, orphanGraceMs);
      }
    }),
  );
}

/** Runs `work` once at a time; calls that come while it runs share one later run. */
function serially(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = (): Promise<void> => {
    running = work().finally(() => {
      running = undefined;
    });
    return running;
  };
  return () => {
    if (running === undefined) {
      return start();
    }
    next ??= running
      .catch(() => undefined)
      .then(() => {
        next = undefined;
        return start();
      });
    return next;
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
    }
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
}

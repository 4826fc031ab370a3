import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CallContext } from '@gantry/bus';
import { isKind, kindOf, RuntimeError, shownId } from '@gantry/errors';
import type { ExecSyncRequest } from '@gantry/proto';
import { withSpan } from '@gantry/telemetry';
import type { ExecTarget, RunningExec, Runtime, Targets } from '../ports.ts';

export interface ExecSyncDeps {
  readonly targets: Targets;
  readonly runtime: Runtime;
  /** How long others may hold the outputs after the command has ended; 0 for ever. */
  readonly drainTimeoutMs: number;
}

export interface ExecSyncResult {
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly exitCode: number;
}

const longestTimerMs = 0x7fffffff;
const longestShownCommand = 200;

/**
 * Runs a command in a container and answers with its exit code and outputs
 * (api.proto, ExecSync). After the timeout the command is killed and the
 * answer is `deadline-exceeded`; when the caller gives up, `canceled`. The
 * container lives on. A command that can't be started is `unknown`, with the
 * runtime's words, as containerd has it.
 */
export function execSync(
  deps: ExecSyncDeps,
): (request: ExecSyncRequest, context: Pick<CallContext, 'signal'>) => Promise<ExecSyncResult> {
  return async (request, { signal }) => {
    const timeoutMs = check(request);
    const target = await deps.targets.find(request.containerId, { signal });
    const what = `exec in container ${target.containerId}: ${shown(request.cmd)}`;
    const span = `${basename(target.runtimePath)} exec`;
    return withSpan(span, { 'container.id': target.containerId }, async () => {
      using stop = stopper(what, request.timeout, timeoutMs, signal);
      await using exec = start(deps.runtime, target, request.cmd, what);
      try {
        return await Promise.race([finish(exec, target, what, deps, signal), stop.rejected]);
      } catch (error) {
        // Whatever it was: nothing of this exec goes on after the answer.
        await exec.kill();
        throw error;
      }
    });
  };
}

/** Checks the request; returns the timeout, Infinity for none. */
function check({ containerId, cmd, timeout }: ExecSyncRequest): number {
  if (containerId === '') {
    throw new RuntimeError('invalid-argument', 'exec: container_id is missing');
  }
  const where = `exec in container ${shownId(containerId)}`;
  if (cmd.length === 0) {
    throw new RuntimeError('invalid-argument', `${where}: cmd is empty`);
  }
  if (cmd.some((arg) => arg.includes('\0'))) {
    throw new RuntimeError('invalid-argument', `${where}: cmd has a zero byte in it`);
  }
  if (timeout < 0n) {
    throw new RuntimeError('invalid-argument', `${where}: timeout ${timeout} is negative`);
  }
  return timeout === 0n ? Number.POSITIVE_INFINITY : Number(timeout) * 1000;
}

function start(
  runtime: Runtime,
  target: ExecTarget,
  command: readonly string[],
  what: string,
): RunningExec {
  try {
    return runtime.exec(target, command);
  } catch (cause) {
    throw new RuntimeError(kindOf(cause), what, { cause });
  }
}

async function finish(
  exec: RunningExec,
  target: ExecTarget,
  what: string,
  { drainTimeoutMs, targets }: ExecSyncDeps,
  signal: AbortSignal,
): Promise<ExecSyncResult> {
  const ended = endOf(exec, what, () => checkStillThere(targets, target.containerId, signal));
  const exit = await (drainTimeoutMs === 0 ? ended : drained(exec, ended, target, drainTimeoutMs));
  return { ...exec.output(), exitCode: exit };
}

/** The exit code, once the command has ended and its outputs too. */
async function endOf(
  exec: RunningExec,
  what: string,
  checkContainer: () => Promise<void>,
): Promise<number> {
  let exit: Awaited<RunningExec['exited']>;
  try {
    exit = await exec.exited;
  } catch (cause) {
    await checkContainer();
    throw new RuntimeError(kindOf(cause), what, { cause });
  }
  if (!exit.started) {
    await checkContainer();
    throw new RuntimeError('unknown', `${what}: ${exit.words}`);
  }
  await exec.drained;
  return exit.exitCode;
}

/** Throws when the container has ended since its target was told: then that is what is wrong. */
async function checkStillThere(targets: Targets, id: string, signal: AbortSignal): Promise<void> {
  try {
    await targets.find(id, { signal, fresh: true });
  } catch (error) {
    if (isKind(error, 'not-found') || isKind(error, 'failed-precondition')) {
      throw error;
    }
    // Whatever else: the runtime's own words say more.
  }
}

/** Background processes of the command may hold its outputs: waits for them as long as configured. */
async function drained(
  exec: RunningExec,
  ended: Promise<number>,
  target: ExecTarget,
  timeoutMs: number,
): Promise<number> {
  const done = new AbortController();
  const late = (async (): Promise<never> => {
    await exec.exited;
    await delay(timeoutMs, undefined, { signal: done.signal });
    throw new RuntimeError(
      'unknown',
      `exec in container ${target.containerId}: failed to drain exec process io in ${timeoutMs}ms because io is still held by other processes`,
    );
  })();
  // After the end it rejects with the abort, which is nobody's concern.
  late.catch(() => undefined);
  try {
    return await Promise.race([ended, late]);
  } finally {
    done.abort();
  }
}

interface Stopper extends Disposable {
  /** Rejects when the time is up or the caller gave up; else stays pending. */
  readonly rejected: Promise<never>;
}

function stopper(what: string, seconds: bigint, timeoutMs: number, signal: AbortSignal): Stopper {
  const { promise, reject } = Promise.withResolvers<never>();
  // It may reject while nobody races against it any more.
  promise.catch(() => undefined);
  const onAbort = (): void => {
    const { reason: cause } = signal as { reason: unknown };
    const kind = kindOf(cause) === 'deadline-exceeded' ? 'deadline-exceeded' : 'canceled';
    reject(new RuntimeError(kind, `${what}: the caller gave up`, { cause }));
  };
  const timer =
    timeoutMs > longestTimerMs
      ? undefined
      : setTimeout(() => {
          reject(new RuntimeError('deadline-exceeded', `${what}: timeout ${seconds}s exceeded`));
        }, timeoutMs);
  if (signal.aborted) {
    onAbort();
  } else {
    signal.addEventListener('abort', onAbort, { once: true });
  }
  return {
    rejected: promise,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}

function shown(command: readonly string[]): string {
  const text = command.join(' ');
  return JSON.stringify(
    text.length > longestShownCommand ? `${text.slice(0, longestShownCommand)}...` : text,
  );
}

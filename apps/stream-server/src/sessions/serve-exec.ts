import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '@gantry/errors';
import type { CommandStatus, RemoteCommandSession } from '@gantry/remotecommand';
import type { ExecTarget, StreamedExec, StreamingRuntime, Targets } from '../ports.ts';
import { copy } from './copy.ts';
import { onEachSize } from './resizes.ts';

const killedCode = 128 + constants.signals.SIGKILL;
const stopped = { error: inContainer('stream-server is stopping and has killed it') };

export interface ServeExecDeps {
  readonly targets: Targets;
  readonly runtime: StreamingRuntime;
  /** How long others may hold the outputs after the command has ended; 0 for ever. */
  readonly drainTimeoutMs: number;
  /** Aborts when this service stops, which kills the commands. */
  readonly stopping: AbortSignal;
}

export interface ExecCommand {
  readonly target: ExecTarget;
  readonly cmd: readonly string[];
  readonly stdin: boolean;
  readonly tty: boolean;
}

/**
 * Runs a command for a client that is there, and tells it how that ended. A
 * client that vanishes is no end of a command without a terminal, as both peers
 * have it: its input ends, what it says is dropped. One with a terminal is hung
 * up. Resolves when the command has ended.
 */
export async function serveExec(
  deps: ServeExecDeps,
  command: ExecCommand,
  session: RemoteCommandSession,
): Promise<void> {
  let exec: StreamedExec;
  try {
    exec = deps.runtime.stream(command.target, command.cmd, command);
  } catch (error) {
    await session.finish({ error: inContainer(messageOf(error)) });
    return;
  }
  await using running = exec;
  const hangUp = (): void => {
    void running.hangUp();
  };
  session.gone.addEventListener('abort', hangUp, { once: true });
  if (session.gone.aborted) {
    hangUp();
  }
  onEachSize(session, ({ width, height }) => {
    running.resize(height, width);
  });
  copyInput(session, running, command.tty);
  const outputs = Promise.all([
    copy(running.stdout, session.stdout, { dropSlowly: true }),
    running.stderr === undefined
      ? undefined
      : copy(running.stderr, session.stderr, { dropSlowly: true }),
  ]);
  const status = await statusOf(deps, command, running, outputs);
  session.gone.removeEventListener('abort', hangUp);
  // Not as if it had ended by itself, out of memory: some clients take the end of a connection for success.
  await session.finish(deps.stopping.aborted && wasKilled(status) ? stopped : status);
}

function wasKilled(status: CommandStatus): boolean {
  return 'exitCode' in status && status.exitCode === killedCode;
}

function copyInput(session: RemoteCommandSession, exec: StreamedExec, tty: boolean): void {
  const { stdin } = session;
  if (stdin === undefined || exec.stdin === undefined) {
    return;
  }
  // A terminal has no end of input: what would be one is a character.
  void copy(stdin, exec.stdin, { end: !tty });
}

async function statusOf(
  deps: ServeExecDeps,
  { target }: ExecCommand,
  exec: StreamedExec,
  outputs: Promise<unknown>,
): Promise<CommandStatus> {
  try {
    const ended = Promise.all([exec.exited, outputs]);
    ended.catch(() => undefined);
    const late =
      deps.drainTimeoutMs === 0 ? undefined : notDrained(exec, ended, deps.drainTimeoutMs);
    const [exit] = await (late === undefined ? ended : Promise.race([ended, late]));
    if (exit.started) {
      return exit.exitCode === 0 ? { success: true } : { exitCode: exit.exitCode };
    }
    const reason = await whyNotStarted(deps.targets, target, exit.words);
    return { error: inContainer(reason) };
  } catch (error) {
    return { error: inContainer(messageOf(error)) };
  }
}

/** Rejects when others hold the outputs for so long after the process has ended. */
async function notDrained(
  exec: StreamedExec,
  ended: Promise<unknown>,
  timeoutMs: number,
): Promise<never> {
  const done = new AbortController();
  const stop = (): void => {
    done.abort();
  };
  ended.then(stop, stop);
  await exec.exited;
  await delay(timeoutMs, undefined, { signal: done.signal });
  throw new Error(
    `failed to drain exec process io in ${String(timeoutMs)}ms because io is still held by other processes`,
  );
}

/** A container that has ended since it was asked for is the better reason. */
async function whyNotStarted(
  targets: Targets,
  { containerId }: ExecTarget,
  words: string,
): Promise<string> {
  try {
    await targets.find(containerId, { signal: AbortSignal.timeout(5000), fresh: true });
    return words;
  } catch (error) {
    return messageOf(error);
  }
}

function inContainer(message: string): string {
  return `error executing command in container: ${message}`;
}

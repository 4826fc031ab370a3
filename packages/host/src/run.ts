import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { RuntimeError } from '@gantry/errors';
import { findTool, missingTool } from './find-tool.ts';
import { hasCode } from './system-error.ts';

export interface RunOptions {
  /** Written to the command's stdin, which is /dev/null otherwise. */
  readonly stdin?: string | Uint8Array;
  /** The whole environment; ours when absent. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Kills the command; `run` rejects with the signal's reason once it is gone. */
  readonly signal?: AbortSignal;
  /** Kills the command after this time; `run` rejects with `deadline-exceeded` once it is gone. */
  readonly timeoutMs?: number;
  /** What is kept of each output; the rest is read and dropped. 16 MiB unless told. */
  readonly maxOutputBytes?: number;
  /** Starts the command in a process group of its own and kills all of that. */
  readonly killGroup?: boolean;
  /** Descriptors of ours that the command gets as 3, 4, ...; they stay open here. */
  readonly extraFds?: readonly number[];
}

export interface RunResult {
  /** null when a signal ended the command. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** An output was longer than maxOutputBytes. */
  readonly truncated: boolean;
}

// How long a background child of the command may hold its outputs open after it ended.
const lingerMs = 500;

/**
 * Runs a command to its end and collects its output. Any exit code is a
 * result; it throws when the command could not be started (a missing tool
 * names its Debian package), on abort and on timeout, and then only once the
 * process is dead and reaped. The command's name is looked up as findTool does.
 */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  options.signal?.throwIfAborted();
  const child = start(command, args, options);
  const limit = options.maxOutputBytes ?? 16 * 1024 * 1024;
  const stdout = collect(child.stdout, limit);
  const stderr = collect(child.stderr, limit);
  feed(child, options.stdin);

  let stopped: Error | undefined;
  const stop = (reason: Error): void => {
    stopped ??= reason;
    kill(child, options.killGroup === true);
  };
  const onAbort = (): void => stop(asError(options.signal?.reason));
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          const message = `run ${command}: no end within ${String(options.timeoutMs)} ms`;
          stop(new RuntimeError('deadline-exceeded', message));
        }, options.timeoutMs);
  try {
    const [exitCode, signal] = await ended(child, command, options);
    if (stopped !== undefined) {
      throw stopped;
    }
    return {
      exitCode,
      signal,
      stdout: stdout.take(),
      stderr: stderr.take(),
      truncated: stdout.truncated || stderr.truncated,
    };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', onAbort);
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error
    ? reason
    : new RuntimeError('canceled', String(reason), { cause: reason });
}

function start(command: string, args: readonly string[], options: RunOptions): ChildProcess {
  try {
    return spawn(findTool(command) ?? command, args, {
      stdio: [
        options.stdin === undefined ? 'ignore' : 'pipe',
        'pipe',
        'pipe',
        ...(options.extraFds ?? []),
      ],
      detached: options.killGroup === true,
      ...(options.env === undefined ? {} : { env: { ...options.env } }),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
  } catch (error) {
    // Arguments with a NUL, E2BIG and the like are thrown at once.
    throw spawnError(error, command, options);
  }
}

function spawnError(error: unknown, command: string, options: RunOptions): RuntimeError {
  // A directory of PATH that can't be searched makes a missing name EACCES.
  const isAbsent = hasCode(error, 'ENOENT') || (hasCode(error, 'EACCES') && !command.includes('/'));
  if (isAbsent && findTool(command) === undefined) {
    return new RuntimeError('failed-precondition', missingTool(command), { cause: error });
  }
  const where = options.cwd === undefined ? '' : ` in ${options.cwd}`;
  return new RuntimeError('internal', `run ${command}${where}`, { cause: error });
}

function ended(
  child: ChildProcess,
  command: string,
  options: RunOptions,
): Promise<[number | null, NodeJS.Signals | null]> {
  return new Promise((resolve, reject) => {
    let linger: NodeJS.Timeout | undefined;
    child.once('error', (error) => {
      // Also told when a kill fails; then the process is there and will end.
      if (child.pid === undefined) {
        reject(spawnError(error, command, options));
      }
    });
    child.once('exit', () => {
      linger = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, lingerMs);
    });
    child.once('close', (code, signal) => {
      clearTimeout(linger);
      resolve([code, signal]);
    });
  });
}

function kill(child: ChildProcess, group: boolean): void {
  if (!group || child.pid === undefined) {
    child.kill('SIGKILL');
    return;
  }
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) {
      throw error;
    }
  }
}

function feed(child: ChildProcess, input: string | Uint8Array | undefined): void {
  // A command that does not read its input to the end is its own affair (EPIPE).
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input);
}

function collect(stream: Readable | null, limit: number): { take(): Buffer; truncated: boolean } {
  const chunks: Buffer[] = [];
  let length = 0;
  const output = { take: () => Buffer.concat(chunks, length), truncated: false };
  stream?.on('data', (chunk: Buffer) => {
    const kept = chunk.subarray(0, limit - length);
    output.truncated ||= kept.length < chunk.length;
    if (kept.length > 0) {
      chunks.push(kept);
      length += kept.length;
    }
  });
  stream?.on('error', () => undefined);
  return output;
}

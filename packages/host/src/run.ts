import type { Readable } from 'node:stream';
import { RuntimeError } from '@gantry/errors';
import type { ProcessExit } from './child-reaper.ts';
import { type StartedProcess, startProcess } from './start-process.ts';

export interface RunOptions {
  /** What the command reads from its stdin, which is /dev/null otherwise. */
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
  const stdout = collect(child.output(1), limit);
  const stderr = collect(child.output(2), limit);

  let stopped: Error | undefined;
  const stop = (reason: Error): void => {
    stopped ??= reason;
    if (options.killGroup === true) {
      child.killGroup();
    } else {
      child.kill();
    }
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
    const exit = await ended(child, [stdout, stderr]);
    if (stopped !== undefined) {
      throw stopped;
    }
    return {
      ...exit,
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

function start(command: string, args: readonly string[], options: RunOptions): StartedProcess {
  const { stdin, extraFds = [], env, cwd, killGroup } = options;
  const input = typeof stdin === 'string' ? Buffer.from(stdin) : (stdin ?? 'null');
  return startProcess(command, args, {
    stdio: [input, 'output', 'output', ...extraFds],
    env,
    cwd,
    leads: killGroup === true ? 'group' : undefined,
  });
}

interface Output {
  readonly truncated: boolean;
  /** Resolves when it was read to its end, or destroyed. */
  readonly closed: Promise<unknown>;
  take(): Buffer;
  destroy(): void;
}

/** Resolves when the process has been reaped and its outputs are closed. */
async function ended(child: StartedProcess, outputs: readonly Output[]): Promise<ProcessExit> {
  let linger: NodeJS.Timeout | undefined;
  const destroy = (): void => {
    for (const output of outputs) {
      output.destroy();
    }
  };
  try {
    const exit = await child.exited;
    linger = setTimeout(destroy, lingerMs);
    await Promise.all(outputs.map((output) => output.closed));
    return exit;
  } catch (error) {
    destroy();
    throw error;
  } finally {
    clearTimeout(linger);
  }
}

function collect(stream: Readable, limit: number): Output {
  const chunks: Buffer[] = [];
  let length = 0;
  const output = {
    truncated: false,
    // What was read before a failure still counts, so the failure itself is passed over.
    closed: new Promise((resolve) => stream.once('close', resolve)),
    take: () => Buffer.concat(chunks, length),
    destroy: () => {
      stream.destroy();
    },
  };
  stream.on('data', (chunk: Buffer) => {
    const kept = chunk.subarray(0, limit - length);
    output.truncated ||= kept.length < chunk.length;
    if (kept.length > 0) {
      chunks.push(kept);
      length += kept.length;
    }
  });
  stream.on('error', () => undefined);
  return output;
}

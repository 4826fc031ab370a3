import { fchownSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { RuntimeError } from '@gantry/errors';
import { childReaper, type ProcessExit } from './child-reaper.ts';
import { findTool, missingTool } from './find-tool.ts';
import { closeFd } from './libc.ts';
import { openMemory } from './memory-file.ts';
import { openPipe } from './pipe.ts';
import { spawnProcess } from './spawn-syscalls.ts';
import { hasCode } from './system-error.ts';

/**
 * What a process gets as one of its descriptors: /dev/null, a pipe that we
 * read, the bytes that it shall read, or a descriptor of ours (which stays open here).
 */
export type Stdio = 'null' | 'output' | Uint8Array | number;

export interface StartOptions {
  /** Its descriptors 0, 1, 2, ...; it inherits no others. */
  readonly stdio: readonly Stdio[];
  /** The whole environment; ours when absent. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly cwd?: string | undefined;
  /** Puts it at the head of a process group, or of a session, of its own. */
  readonly leads?: 'group' | 'session' | undefined;
  /** Whose the pipes and inputs are that are made for it; ours when absent. Who may open them again goes by that. */
  readonly owner?: Owner | undefined;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A child of this process, which it keeps alive until the child has ended. */
export interface StartedProcess {
  readonly pid: number;
  /** Resolves when it has ended and was reaped. */
  readonly exited: Promise<ProcessExit>;
  /** What it writes to a descriptor that is an `output`: to be read or destroyed. */
  output(fd: number): Readable;
  /** Sends a signal, SIGKILL unless told; false when the process has been reaped. */
  kill(signal?: NodeJS.Signals): boolean;
  /** Kills the group that it leads; also what is left of it when it has ended itself. */
  killGroup(): void;
}

/**
 * Starts a program in a tenth of the time that child_process takes, because no
 * page table is copied. `command` is looked up as findTool does. Throws
 * `failed-precondition` with the Debian package for a tool that is not there,
 * and a SystemError for all else that fails up to the exec. Whatever happens,
 * nothing stays open that the caller has not been given, and the process is
 * reaped. Main thread only.
 */
export function startProcess(
  command: string,
  args: readonly string[],
  options: StartOptions,
): StartedProcess {
  const reaper = childReaper();
  // What the process gets is closed here in any case, what we read only on failure.
  using handedOn = new DisposableStack();
  using undo = new DisposableStack();
  const outputs = new Map<number, Socket>();
  const fds = options.stdio.map((stdio, fd) => {
    if (stdio === 'null' || typeof stdio === 'number') {
      return stdio;
    }
    if (stdio !== 'output') {
      const memory = handedOn.adopt(openMemory('input', stdio, 'data'), closeFd);
      giveTo(memory, options.owner);
      return memory;
    }
    const { readFd, writeFd } = openPipe();
    handedOn.adopt(writeFd, closeFd);
    outputs.set(
      fd,
      undo.adopt(readerOf(readFd), (socket) => socket.destroy()),
    );
    giveTo(writeFd, options.owner);
    return writeFd;
  });
  const pid = spawn(command, args, fds, options);
  const exited = reaper.reap(pid);
  // Not everybody who starts a process asks how it ended.
  exited.catch(() => undefined);
  undo.move();
  return {
    pid,
    exited,
    output: (fd) => outputs.get(fd) ?? noOutput(fd),
    kill: (signal = 'SIGKILL') => reaper.has(pid) && process.kill(pid, signal),
    killGroup: () => killGroup(pid),
  };
}

function spawn(
  command: string,
  args: readonly string[],
  fds: readonly (number | 'null')[],
  options: StartOptions,
): number {
  const path = command.includes('/') ? command : findTool(command);
  if (path === undefined) {
    throw new RuntimeError('failed-precondition', missingTool(command));
  }
  const { env = process.env, cwd, leads } = options;
  try {
    return spawnProcess(path, args, { fds, env: pairsOf(env), cwd, leads });
  } catch (error) {
    // It also means that the working directory is not there, or the interpreter of a script.
    if (hasCode(error, 'ENOENT') && findTool(path) === undefined) {
      throw new RuntimeError('failed-precondition', missingTool(command), { cause: error });
    }
    throw error;
  }
}

function giveTo(fd: number, owner: Owner | undefined): void {
  if (owner !== undefined) {
    fchownSync(fd, owner.uid, owner.gid);
  }
}

function pairsOf(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(env).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
}

function readerOf(fd: number): Socket {
  try {
    return new Socket({ fd, readable: true, writable: false });
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

function noOutput(fd: number): never {
  throw new RuntimeError('internal', `descriptor ${String(fd)} of a process is no output of it`);
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) {
      throw error;
    }
  }
}

import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { RuntimeError } from '@gantry/errors';
import { closeFd, lastErrno, lazily } from './libc.ts';
import { hasCode, systemError } from './system-error.ts';

const pidfdOpenCall = lazily<[number, number, number]>('syscall', ['long', 'long', 'long']);
const pidfdSendSignalCall = lazily<[number, number, number, null, number]>('syscall', [
  'long',
  'long',
  'long',
  'void *',
  'long',
]);
// The same on every architecture.
const pidfdOpenNumber = 434;
const pidfdSendSignalNumber = 424;
const noSuchProcess = 3; // ESRCH
const invalidArgument = 22; // EINVAL

/** One process, told apart from a later one with the same pid by its start time. */
export interface ProcessId {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat, in clock ticks since boot. */
  readonly startTime: string;
}

interface Stat {
  readonly startTime: string;
  readonly dead: boolean;
}

/** Who has this pid now, a zombie included; undefined when nobody has. */
export function identifyProcess(pid: number): Promise<ProcessId | undefined> {
  return Promise.try(() => {
    const stat = readStat(pid);
    return stat === undefined ? undefined : { pid, startTime: stat.startTime };
  });
}

/** Whether this very process still runs. A zombie does not: its parent may be long in reaping it. */
export function isRunning(process: ProcessId): Promise<boolean> {
  return Promise.try(() => isAlive(process));
}

/**
 * Sends a signal to this very process, never to a later one with its pid.
 * Returns false when it is gone or a zombie. Throws `permission-denied` when it
 * is not ours to signal.
 */
export function signalProcess(
  process: ProcessId,
  signal: number | NodeJS.Signals,
): Promise<boolean> {
  return Promise.try(() => {
    const number = typeof signal === 'number' ? signal : constants.signals[signal];
    const doing = `send signal ${String(signal)} to process ${String(process.pid)}`;
    const pidfd = openPidfd(process, doing);
    if (pidfd === undefined) {
      return false;
    }
    try {
      if (pidfdSendSignalCall()(pidfdSendSignalNumber, pidfd, number, null, 0) === 0) {
        return true;
      }
      const errno = lastErrno();
      if (errno === noSuchProcess) {
        return false;
      }
      throw systemError(errno, doing);
    } finally {
      closeFd(pidfd);
    }
  });
}

/** A pidfd (pidfd_open(2)) that stands for this very process; undefined when it is gone or a zombie. */
export function openPidfd(process: ProcessId, doing: string): number | undefined {
  requirePid(process.pid, doing);
  const pidfd = pidfdOpenCall()(pidfdOpenNumber, process.pid, 0);
  if (pidfd === -1) {
    const errno = lastErrno();
    // Before Linux 6.16 it is EINVAL while the number of a process that is gone is still that of a group or session.
    if (errno === noSuchProcess || (errno === invalidArgument && !isAlive(process))) {
      return undefined;
    }
    throw systemError(errno, doing);
  }
  // Looked at after the open: the descriptor can't come to mean another process any more.
  if (isAlive(process)) {
    return pidfd;
  }
  closeFd(pidfd);
  return undefined;
}

function isAlive(process: ProcessId): boolean {
  const stat = readStat(process.pid);
  return stat?.startTime === process.startTime && !stat.dead;
}

function readStat(pid: number): Stat | undefined {
  requirePid(pid, 'look at process');
  try {
    return parseStat(readFileSync(`/proc/${String(pid)}/stat`, 'latin1'));
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) {
      return undefined;
    }
    throw error;
  }
}

/** proc_pid_stat(5). The command, in parentheses, may itself have spaces and parentheses. */
export function parseStat(text: string): Stat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state = ''] = fields;
  const threads = Number(fields[17]);
  // A main thread that ended before the others looks like a zombie, but its process runs on.
  const dead = state === 'X' || (state === 'Z' && threads <= 1);
  return { startTime: fields[19] ?? '', dead };
}

// 0 and negative numbers mean groups to the kernel.
function requirePid(pid: number, doing: string): void {
  if (!Number.isSafeInteger(pid) || pid <= 0) {
    throw new RuntimeError('invalid-argument', `${doing}: ${String(pid)} is no process id`);
  }
}

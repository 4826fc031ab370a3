import { closeSync, constants, fstatSync, openSync, rmSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { checked, lastErrno, lazily } from './libc.ts';
import { hasCode, requireCleanPath } from './system-error.ts';

const flock = lazily<[number, number]>('flock', ['int', 'int']);
const exclusive = 2; // LOCK_EX
const nonBlocking = 4; // LOCK_NB
const interrupted = 4; // EINTR
const wouldBlock = 11; // EWOULDBLOCK
const longestPauseMs = 25;

export interface LockOptions {
  /** Gives up the wait: rejects with the signal's reason, nothing is held. */
  readonly signal?: AbortSignal;
  /** Unlinks the file when the lock is let go, so that locks of things long gone do not pile up. */
  readonly remove?: boolean;
}

// Who waits in this process, by path. It mirrors a fact of the process, as the lock does of the
// host: two parts of one process must not poll against each other.
const queues = new Map<string, (() => void)[]>();

/**
 * Takes the exclusive lock of `path` (flock(2)), which is created 0600 when it
 * is missing, and holds it until disposed of; the kernel lets it go when the
 * process dies. Waiters of one process go in order; against other processes the
 * lock is tried again every 1 to 25 ms. Not re-entrant.
 */
export async function lockFile(path: string, options: LockOptions = {}): Promise<AsyncDisposable> {
  const key = resolve(path);
  options.signal?.throwIfAborted();
  await enter(key, options.signal);
  try {
    for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      const fd = tryLock(key);
      if (fd !== undefined) {
        return heldLock(key, fd, options.remove === true);
      }
      // Spread out, so that processes that began together do not stay in step.
      await delay(pauseMs * (0.5 + Math.random() / 2), undefined, { signal: options.signal });
    }
  } catch (error) {
    leave(key);
    options.signal?.throwIfAborted();
    throw error;
  }
}

/** Takes the lock as lockFile does, or returns undefined when anyone holds or awaits it. */
export function tryLockFile(
  path: string,
  options: Pick<LockOptions, 'remove'> = {},
): AsyncDisposable | undefined {
  const key = resolve(path);
  if (queues.has(key)) {
    return undefined;
  }
  const fd = tryLock(key);
  if (fd === undefined) {
    return undefined;
  }
  queues.set(key, []);
  return heldLock(key, fd, options.remove === true);
}

function enter(key: string, signal: AbortSignal | undefined): Promise<void> {
  const queue = queues.get(key);
  if (queue === undefined) {
    queues.set(key, []);
    return Promise.resolve();
  }
  return new Promise((go, reject) => {
    const turn = (): void => {
      signal?.removeEventListener('abort', onAbort);
      go();
    };
    const onAbort = (): void => {
      queue.splice(queue.indexOf(turn), 1);
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    queue.push(turn);
  });
}

function leave(key: string): void {
  const next = queues.get(key)?.shift();
  if (next === undefined) {
    queues.delete(key);
  } else {
    next();
  }
}

function heldLock(key: string, fd: number, remove: boolean): AsyncDisposable {
  let held = true;
  return {
    [Symbol.asyncDispose]: () => {
      if (held) {
        held = false;
        try {
          if (remove) {
            rmSync(key, { force: true });
          }
        } finally {
          closeSync(fd);
          leave(key);
        }
      }
      return Promise.resolve();
    },
  };
}

/** A descriptor that holds the lock of the file which `path` names now; undefined when another has it. */
function tryLock(path: string): number | undefined {
  requireCleanPath(path, 'lock');
  for (;;) {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      if (!lockDescriptor(fd, path)) {
        closeSync(fd);
        return undefined;
      }
      if (isStillNamed(fd, path)) {
        return fd;
      }
      // Its last holder unlinked it between our open and our lock: this lock guards nothing.
      closeSync(fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }
}

function lockDescriptor(fd: number, path: string): boolean {
  for (;;) {
    const result = flock()(fd, exclusive | nonBlocking);
    if (result === 0) {
      return true;
    }
    const errno = lastErrno();
    if (errno === wouldBlock) {
      return false;
    }
    if (errno !== interrupted) {
      checked(result, `lock ${path}`);
    }
  }
}

function isStillNamed(fd: number, path: string): boolean {
  try {
    const ours = fstatSync(fd, { bigint: true });
    const named = statSync(path, { bigint: true });
    return ours.ino === named.ino && ours.dev === named.dev;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return false;
    }
    throw error;
  }
}

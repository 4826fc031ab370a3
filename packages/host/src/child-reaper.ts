import { constants } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import { RuntimeError } from '@gantry/errors';
import { lastErrno, lazily } from './libc.ts';
import { StrayChildren } from './stray-children.ts';
import { systemError } from './system-error.ts';

const waitpid = lazily<[number, Uint8Array, number]>('waitpid', ['int', 'void *', 'int']);
const noHang = 1; // WNOHANG
const longestMs = 2 ** 31 - 1;

/** How a process ended: `exitCode` is null when a signal ended it, and `signal` when none did. */
export interface ProcessExit {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface Child {
  readonly kind: 'started' | 'orphan';
  resolve(exit: ProcessExit): void;
  reject(error: Error): void;
}

/**
 * Reaps the children that Node knows nothing of. The kernel's SIGCHLD says that
 * some child ended; each of ours is then asked for by its pid, as libuv does
 * with its own, so that neither takes the other's.
 */
class ChildReaper {
  readonly #children = new Map<number, Child>();
  // A listener for a signal does not keep a process alive, and a child should.
  readonly #alive = setInterval(() => undefined, longestMs).unref();
  #strays: StrayChildren | undefined;

  constructor() {
    if (!isMainThread) {
      throw new RuntimeError('internal', 'start a process: only the main thread hears of its end');
    }
    process.on('SIGCHLD', () => this.#reap());
  }

  /** Resolves once `pid`, which was started in this very turn or is an orphan that came to us, has ended and is reaped. */
  reap(pid: number, kind: Child['kind'] = 'started'): Promise<ProcessExit> {
    const { promise, resolve, reject } = Promise.withResolvers<ProcessExit>();
    this.#children.set(pid, { kind, resolve, reject });
    if (kind === 'started') {
      this.#alive.ref();
    } else {
      // It may have ended before its parent: then no signal comes any more.
      this.#ask(pid);
    }
    return promise;
  }

  /** From now on there may be children that nobody asks for. */
  expectStrays(): void {
    this.#strays ??= new StrayChildren(
      (pid) => this.#children.has(pid),
      (pid) => waitpid()(pid, Buffer.alloc(4), noHang),
    );
  }

  /** There are some now. */
  hurryStrays(): void {
    this.#strays?.hurry();
  }

  has(pid: number): boolean {
    return this.#children.has(pid);
  }

  #reap(): void {
    for (const pid of this.#children.keys()) {
      this.#ask(pid);
    }
    this.#strays?.lookSoon();
  }

  #ask(pid: number): void {
    const status = Buffer.alloc(4);
    const result = waitpid()(pid, status, noHang);
    const child = this.#children.get(pid);
    if (result === 0 || child === undefined) {
      return;
    }
    this.#children.delete(pid);
    if (result === pid) {
      child.resolve(exitOf(status.readInt32LE(0)));
    } else {
      child.reject(systemError(lastErrno(), `wait for process ${String(pid)}`));
    }
    if (![...this.#children.values()].some(({ kind }) => kind === 'started')) {
      this.#alive.unref();
    }
  }
}

let reaper: ChildReaper | undefined;

/** The one of this process; it listens from its making, so have it made before a child is started. */
export function childReaper(): ChildReaper {
  reaper ??= new ChildReaper();
  return reaper;
}

/** wait(2): the low seven bits are the signal, the second byte is the code. */
function exitOf(status: number): ProcessExit {
  const signal = status & 0x7f;
  return signal === 0
    ? { exitCode: (status >> 8) & 0xff, signal: null }
    : { exitCode: null, signal: signalName(signal) };
}

function signalName(number: number): NodeJS.Signals {
  const known = Object.entries(constants.signals).find(([, value]) => value === number);
  // One of the real-time signals, which have no names.
  return (known?.[0] ?? `SIG${String(number)}`) as NodeJS.Signals;
}

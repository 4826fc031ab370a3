import { writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { RuntimeError } from '@gantry/errors';
import { epollEvent } from './epoll-event.ts';
import { checked, closeFd, lazily } from './libc.ts';
import { openPidfd, type ProcessId } from './process-id.ts';

const epollCreate = lazily<[number]>('epoll_create1', ['int']);
const epollControl = lazily<[number, number, number, Uint8Array | null]>('epoll_ctl', [
  'int',
  'int',
  'int',
  'void *',
]);
const eventfd = lazily<[number, number]>('eventfd', ['int', 'int']);
const closeOnExec = 0o2000000; // EPOLL_CLOEXEC, EFD_CLOEXEC
const add = 1; // EPOLL_CTL_ADD
const remove = 2; // EPOLL_CTL_DEL
const readable = 1; // EPOLLIN
const once = 2 ** 30; // EPOLLONESHOT
const stopToken = 0;

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

// One thread for the whole process, however many wait: it is the only one that blocks.
let watcher: ExitWatcher | undefined;

/**
 * Resolves when this very process is gone or a zombie, at once if it is so
 * already. The kernel tells (pidfd and epoll on a thread that sleeps); a wait
 * costs one descriptor and keeps our process alive. On abort it rejects with the
 * signal's reason. For use on the main thread.
 */
export async function waitForExit(
  process: ProcessId,
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  options.signal?.throwIfAborted();
  const doing = `wait for process ${String(process.pid)}`;
  const pidfd = openPidfd(process, doing);
  if (pidfd === undefined) {
    return;
  }
  try {
    watcher ??= new ExitWatcher(() => {
      watcher = undefined;
    });
  } catch (error) {
    closeFd(pidfd);
    throw error;
  }
  await watcher.wait(pidfd, doing, options.signal);
}

class ExitWatcher {
  readonly #epollFd = checked(epollCreate()(closeOnExec), 'create an epoll instance');
  readonly #stopFd: number;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiter>();
  readonly #onEnd: () => void;
  #lastToken = stopToken;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
    this.#stopFd = checked(eventfd()(0, closeOnExec), 'create an eventfd');
    this.#watch(this.#stopFd, readable, stopToken, 'watch an eventfd');
    this.#worker = new Worker(new URL('./exit-thread.ts', import.meta.url), {
      name: 'exits',
      workerData: { epollFd: this.#epollFd },
      // Flags of the main program, such as --input-type, may not suit a thread.
      execArgv: [],
      trackUnmanagedFds: false,
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2 },
    });
    this.#worker.unref();
    this.#worker.on('message', (tokens: readonly number[]) => this.#settle(tokens));
    this.#worker.on('error', (error) => this.#end(error));
    this.#worker.on('exit', () => this.#end());
    // Node joins its threads when it ends, and this one would sleep for ever.
    process.once('exit', this.#stop);
  }

  readonly #stop = (): void => {
    const one = Buffer.alloc(8);
    one.writeBigUInt64LE(1n);
    writeSync(this.#stopFd, one);
  };

  async wait(pidfd: number, doing: string, signal: AbortSignal | undefined): Promise<void> {
    this.#lastToken += 1;
    const token = this.#lastToken;
    const done = Promise.withResolvers<undefined>();
    const onAbort = (): void => done.reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiting.set(token, {
      resolve: () => done.resolve(undefined),
      reject: done.reject,
    });
    this.#worker.ref();
    try {
      this.#watch(pidfd, readable | once, token, doing);
      await done.promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#forget(token, pidfd);
    }
  }

  #watch(fd: number, events: number, token: number, doing: string): void {
    checked(epollControl()(this.#epollFd, add, fd, epollEvent(events, token)), doing);
  }

  #forget(token: number, pidfd: number): void {
    if (!this.#waiting.delete(token)) {
      return;
    }
    // Closing alone would not do: a child of ours between fork and exec shares the descriptor.
    epollControl()(this.#epollFd, remove, pidfd, null);
    closeFd(pidfd);
    if (this.#waiting.size === 0) {
      this.#worker.unref();
    }
  }

  #settle(tokens: readonly number[]): void {
    for (const token of tokens) {
      this.#waiting.get(token)?.resolve();
    }
  }

  #end(cause?: unknown): void {
    this.#onEnd();
    process.off('exit', this.#stop);
    for (const waiter of this.#waiting.values()) {
      waiter.reject(
        new RuntimeError('internal', 'the thread that waits for exits ended', { cause }),
      );
    }
  }
}

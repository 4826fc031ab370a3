import { Worker } from 'node:worker_threads';
import { type ErrorKind, RuntimeError } from '@gantry/errors';

export type IpFamily = 'ipv4' | 'ipv6';

/**
 * Opens TCP sockets that belong to a network namespace and hands out their descriptors: a socket
 * stays in the namespace where it was made, whoever connects it. Costs about 0.1 ms and no process.
 */
export interface NetnsSockets extends AsyncDisposable {
  /**
   * A TCP socket of the namespace pinned at `path`, for `new Socket({ fd })` and `connect`; the
   * caller closes it. `not-found` when the namespace is gone.
   */
  open(path: string, family: IpFamily): Promise<number>;
}

export interface NetnsSocketRequest {
  readonly id: number;
  readonly path: string;
  readonly family: IpFamily;
}

export interface NetnsSocketReply {
  readonly id: number;
  readonly fd?: number;
  readonly fault?: {
    readonly kind: ErrorKind;
    readonly message: string;
    /** The thread is in a wrong namespace and ends itself. */
    readonly stranded: boolean;
  };
}

/**
 * One thread, begun with the first request and replaced should it end. All it does is
 * synchronous: nothing else ever runs on it, and no other thread is ever in the namespace.
 */
export function startNetnsSockets(): NetnsSockets {
  return new SocketClient();
}

class SocketClient implements NetnsSockets {
  #worker: Worker | undefined;
  #lastId = 0;
  #isDisposed = false;
  readonly #waiting = new Map<number, PromiseWithResolvers<number>>();

  open(path: string, family: IpFamily): Promise<number> {
    if (this.#isDisposed) {
      return Promise.reject(
        new RuntimeError('unavailable', 'the maker of sockets has been stopped'),
      );
    }
    this.#lastId += 1;
    const id = this.#lastId;
    this.#worker ??= this.#start();
    this.#worker.ref();
    const done = Promise.withResolvers<number>();
    this.#waiting.set(id, done);
    this.#worker.postMessage({ id, path, family } satisfies NetnsSocketRequest);
    return done.promise;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./netns-socket-thread.ts', import.meta.url), {
      name: 'netns-sockets',
      // Flags of the main program, such as --input-type, may not suit a thread.
      execArgv: [],
      trackUnmanagedFds: false,
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2 },
    });
    worker.on('message', (reply: NetnsSocketReply) => this.#settle(worker, reply));
    worker.on('error', (error) => this.#lose(worker, error));
    worker.on('exit', () => this.#lose(worker));
    return worker;
  }

  #settle(worker: Worker, { id, fd, fault }: NetnsSocketReply): void {
    const waiter = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) {
      worker.unref();
    }
    if (fd !== undefined) {
      waiter?.resolve(fd);
      return;
    }
    waiter?.reject(
      new RuntimeError(fault?.kind ?? 'internal', fault?.message ?? 'open a socket: no answer'),
    );
    if (fault?.stranded === true) {
      // It ends by itself: what was queued behind has not been looked at.
      this.#lose(worker);
    }
  }

  #lose(worker: Worker, cause?: unknown): void {
    if (this.#worker !== worker) {
      return;
    }
    this.#worker = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const waiter of waiting) {
      waiter.reject(new RuntimeError('internal', 'the thread of sockets ended', { cause }));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    await Promise.allSettled([...this.#waiting.values()].map((waiter) => waiter.promise));
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

import { stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { type ErrorKind, RuntimeError } from '@gantry/errors';

/** Makes and unmakes pinned network namespaces on a thread of its own (about 0.6 ms each). */
export interface NamespaceWorker extends AsyncDisposable {
  /**
   * Makes a network namespace with `lo` up and its sysctls set, and pins it by a bind
   * mount at `path`, whose directory is made too. Only `net.*` sysctls are
   * taken (else `invalid-argument`). A path that exists is `already-exists` and is
   * left alone; after any other failure nothing is left.
   */
  createNetns(
    path: string,
    options?: { readonly sysctls?: Readonly<Record<string, string>> },
  ): Promise<void>;
  /** Unpins it and removes the file; missing is a success. */
  removeNetns(path: string): Promise<void>;
}

export type NetnsRequest =
  | {
      readonly id: number;
      readonly verb: 'create';
      readonly path: string;
      readonly sysctls: Readonly<Record<string, string>>;
    }
  | { readonly id: number; readonly verb: 'remove'; readonly path: string };

export interface NetnsReply {
  readonly id: number;
  readonly fault?: {
    readonly kind: ErrorKind;
    readonly message: string;
    /** The thread is in a wrong namespace and ends itself. */
    readonly stranded: boolean;
  };
}

/**
 * Starts the worker; its thread begins with the first request and is replaced
 * should it end. Disposing waits for what is under way. It keeps the process
 * alive only while a request runs.
 */
export function startNamespaceWorker(): NamespaceWorker {
  return new NetnsClient();
}

class NetnsClient implements NamespaceWorker {
  #worker: Worker | undefined;
  #lastId = 0;
  #disposed = false;
  readonly #waiting = new Map<number, PromiseWithResolvers<undefined>>();
  // A pool thread is born into the namespace of the thread that first needs the pool: have them all now.
  readonly #poolIsWarm = stat('/');

  async createNetns(
    path: string,
    options: { readonly sysctls?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    await this.#ask((id) => ({ id, verb: 'create', path, sysctls: options.sysctls ?? {} }));
  }

  async removeNetns(path: string): Promise<void> {
    await this.#ask((id) => ({ id, verb: 'remove', path }));
  }

  async #ask(requestOf: (id: number) => NetnsRequest): Promise<void> {
    await this.#poolIsWarm;
    if (this.#disposed) {
      throw new RuntimeError('unavailable', 'the namespace worker has been stopped');
    }
    this.#lastId += 1;
    const id = this.#lastId;
    this.#worker ??= this.#start();
    this.#worker.ref();
    const done = Promise.withResolvers<undefined>();
    this.#waiting.set(id, done);
    this.#worker.postMessage(requestOf(id));
    await done.promise;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./netns-thread.ts', import.meta.url), {
      name: 'netns',
      // Flags of the main program, such as --input-type, may not suit a thread.
      execArgv: [],
      trackUnmanagedFds: false,
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2 },
    });
    worker.on('message', (reply: NetnsReply) => this.#settle(worker, reply));
    worker.on('error', (error) => this.#lose(worker, error));
    worker.on('exit', () => this.#lose(worker));
    return worker;
  }

  #settle(worker: Worker, reply: NetnsReply): void {
    const waiter = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (this.#waiting.size === 0) {
      worker.unref();
    }
    if (reply.fault === undefined) {
      waiter?.resolve(undefined);
      return;
    }
    waiter?.reject(new RuntimeError(reply.fault.kind, reply.fault.message));
    if (reply.fault.stranded) {
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
      waiter.reject(new RuntimeError('internal', 'the namespace thread ended', { cause }));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await this.#poolIsWarm;
    await Promise.allSettled([...this.#waiting.values()].map((waiter) => waiter.promise));
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

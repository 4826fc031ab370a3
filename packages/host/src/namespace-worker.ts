import { stat, statfs } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { type ErrorKind, RuntimeError } from '@gantry/errors';
import { hasCode } from './system-error.ts';

/** Namespaces to be made together: those with a path, which is where they are pinned. */
export interface PinnedNamespaces {
  /** Its `lo` is up. */
  readonly network?: string | undefined;
  readonly ipc?: string | undefined;
  readonly uts?: string | undefined;
  /** Of the UTS namespace, which must be there; at most 64 bytes. */
  readonly hostname?: string | undefined;
  /** Set in the namespaces made here; one of another kind is `invalid-argument`. */
  readonly sysctls?: Readonly<Record<string, string>> | undefined;
  /**
   * Where to mount a writable sysfs of the network namespace. There is one sysfs
   * for each: made read-only by its first mount, it would stay so for all. It
   * holds the namespace until it is unmounted, which is the caller's to do.
   */
  readonly sysfs?: string | undefined;
}

/** Makes and unmakes pinned namespaces on a thread of its own (about 0.6 ms for a network). */
export interface NamespaceWorker extends AsyncDisposable {
  /**
   * Makes namespaces and pins each by a bind mount at its path, whose directory is
   * made too. A path that exists is `already-exists` and is left alone; after any
   * other failure nothing is left.
   */
  create(namespaces: PinnedNamespaces): Promise<void>;
  /** Sets host name, sysctls and sysfs in namespaces that are pinned already. */
  configure(namespaces: PinnedNamespaces): Promise<void>;
  /** Unpins a namespace of any kind and removes the file; missing is a success. */
  remove(path: string): Promise<void>;
  /** Whether a namespace, of any kind, is pinned at `path`. */
  isPinned(path: string): Promise<boolean>;
  /** `create` of a network namespace alone. */
  createNetns(
    path: string,
    options?: { readonly sysctls?: Readonly<Record<string, string>> },
  ): Promise<void>;
  /** As `remove`. */
  removeNetns(path: string): Promise<void>;
  /**
   * Text of a file of the kernel, such as /proc/thread-self/net/dev, as it is seen in
   * the network namespace pinned at `path`; undefined when none is.
   */
  readInNetns(path: string, file: string): Promise<string | undefined>;
}

export type NamespaceRequest = { readonly id: number } & (
  | { readonly verb: 'create' | 'configure'; readonly namespaces: PinnedNamespaces }
  | { readonly verb: 'remove'; readonly path: string }
  | { readonly verb: 'read'; readonly path: string; readonly file: string }
);

export interface NamespaceReply {
  readonly id: number;
  readonly text?: string | undefined;
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
  return new NamespaceClient();
}

const nsfsMagic = 0x6e736673; // NSFS_MAGIC

class NamespaceClient implements NamespaceWorker {
  #worker: Worker | undefined;
  #lastId = 0;
  #disposed = false;
  readonly #waiting = new Map<number, PromiseWithResolvers<string | undefined>>();
  // A pool thread is born into the namespace of the thread that first needs the pool: have them all now.
  readonly #poolIsWarm = stat('/');

  async createNetns(
    path: string,
    options: { readonly sysctls?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    await this.create({ network: path, ...options });
  }

  async removeNetns(path: string): Promise<void> {
    await this.remove(path);
  }

  async create(namespaces: PinnedNamespaces): Promise<void> {
    await this.#ask((id) => ({ id, verb: 'create', namespaces }));
  }

  async configure(namespaces: PinnedNamespaces): Promise<void> {
    await this.#ask((id) => ({ id, verb: 'configure', namespaces }));
  }

  async remove(path: string): Promise<void> {
    await this.#ask((id) => ({ id, verb: 'remove', path }));
  }

  async isPinned(path: string): Promise<boolean> {
    try {
      return (await statfs(path)).type === nsfsMagic;
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) {
        return false;
      }
      throw error;
    }
  }

  readInNetns(path: string, file: string): Promise<string | undefined> {
    return this.#ask((id) => ({ id, verb: 'read', path, file }));
  }

  async #ask(requestOf: (id: number) => NamespaceRequest): Promise<string | undefined> {
    await this.#poolIsWarm;
    if (this.#disposed) {
      throw new RuntimeError('unavailable', 'the namespace worker has been stopped');
    }
    this.#lastId += 1;
    const id = this.#lastId;
    this.#worker ??= this.#start();
    this.#worker.ref();
    const done = Promise.withResolvers<string | undefined>();
    this.#waiting.set(id, done);
    this.#worker.postMessage(requestOf(id));
    return done.promise;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./namespace-thread.ts', import.meta.url), {
      name: 'namespaces',
      // Flags of the main program, such as --input-type, may not suit a thread.
      execArgv: [],
      trackUnmanagedFds: false,
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2 },
    });
    worker.on('message', (reply: NamespaceReply) => this.#settle(worker, reply));
    worker.on('error', (error) => this.#lose(worker, error));
    worker.on('exit', () => this.#lose(worker));
    return worker;
  }

  #settle(worker: Worker, reply: NamespaceReply): void {
    const waiter = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (this.#waiting.size === 0) {
      worker.unref();
    }
    if (reply.fault === undefined) {
      waiter?.resolve(reply.text);
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

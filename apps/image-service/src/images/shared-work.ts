interface Work<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
  isOver: boolean;
}

/**
 * Lets callers who want the same thing share one run of it. A caller that gives
 * up leaves; the run itself is aborted when the last one has left.
 */
export class SharedWork<T> {
  readonly #running = new Map<string, Work<T>>();

  /** Resolves or rejects with the shared result, or rejects with the reason of the caller's own signal. */
  async run(
    key: string,
    signal: AbortSignal,
    start: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const work = this.#running.get(key) ?? this.#start(key, start);
    work.waiting += 1;
    try {
      return await untilAborted(work.result, signal);
    } finally {
      work.waiting -= 1;
      if (work.waiting === 0 && !work.isOver) {
        // New callers must not join what is being stopped.
        this.#forget(key, work);
        work.controller.abort(signal.reason);
        if (signal.aborted) {
          // Its undo is over when it settles: only then may the caller be told.
          await work.result.catch(() => undefined);
        }
      }
    }
  }

  #start(key: string, start: (signal: AbortSignal) => Promise<T>): Work<T> {
    const controller = new AbortController();
    const result = start(controller.signal);
    const work: Work<T> = { controller, waiting: 0, isOver: false, result };
    this.#running.set(key, work);
    const over = (): void => {
      work.isOver = true;
      this.#forget(key, work);
    };
    work.result.then(over, over);
    return work;
  }

  #forget(key: string, work: Work<T>): void {
    if (this.#running.get(key) === work) {
      this.#running.delete(key);
    }
  }
}

function untilAborted<T>(result: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    const done = (): void => signal.removeEventListener('abort', onAbort);
    result.then(resolve, reject).finally(done);
  });
}

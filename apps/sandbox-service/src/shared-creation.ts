import { isKind, kindOf } from '@gantry/errors';

/** What a creation may know of those who wait for it. */
export interface Creation {
  /** Aborts once a caller has cancelled and nobody else waits. */
  readonly signal: AbortSignal;
  /** Somebody is there to be told of the result. */
  readonly awaited: () => boolean;
}

export interface Caller {
  readonly signal: AbortSignal;
  /** Epoch milliseconds. */
  readonly deadlineMs?: number | undefined;
}

interface Flight {
  readonly fingerprint: string;
  readonly controller: AbortController;
  readonly result: Promise<string>;
  callers: number;
}

// A client tells of its own deadline with a cancel that may overtake our clock.
const deadlineSlackMs = 1000;

/**
 * Lets the same creation, asked for again while the first still runs, share its
 * one result, instead of failing with "name is reserved". A caller whose
 * deadline passes leaves the work running, because it will ask again; one that
 * cancels stops it, unless another caller waits too.
 */
export class SharedCreations implements AsyncDisposable {
  readonly #flights = new Map<string, Flight>();

  /** Runs `create`, or joins the one of the same key and fingerprint. Rejects with the caller's own abort reason. */
  async run(
    key: string,
    fingerprint: string,
    caller: Caller,
    create: (creation: Creation) => Promise<string>,
  ): Promise<string> {
    caller.signal.throwIfAborted();
    const flight = this.#join(key, fingerprint) ?? this.#begin(key, fingerprint, create);
    flight.callers += 1;
    try {
      return await untilAborted(flight.result, caller.signal);
    } catch (error) {
      if (caller.signal.aborted && !outOfTime(caller) && flight.callers === 1) {
        flight.controller.abort(caller.signal.reason);
        await flight.result.catch(() => undefined);
      }
      throw error;
    } finally {
      flight.callers -= 1;
    }
  }

  /** Has what still runs undone, and waits for that. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { controller } of this.#flights.values()) {
      controller.abort();
    }
    await Promise.allSettled([...this.#flights.values()].map((flight) => flight.result));
  }

  #join(key: string, fingerprint: string): Flight | undefined {
    const flight = this.#flights.get(key);
    return flight?.fingerprint === fingerprint && !flight.controller.signal.aborted
      ? flight
      : undefined;
  }

  #begin(
    key: string,
    fingerprint: string,
    create: (creation: Creation) => Promise<string>,
  ): Flight {
    const controller = new AbortController();
    const flight: Flight = {
      fingerprint,
      controller,
      callers: 0,
      result: Promise.try(create, {
        signal: controller.signal,
        awaited: () => flight.callers > 0,
      }),
    };
    const forget = () => {
      if (this.#flights.get(key) === flight) {
        this.#flights.delete(key);
      }
    };
    flight.result.then(forget, forget);
    this.#flights.set(key, flight);
    return flight;
  }
}

function outOfTime({ signal, deadlineMs }: Caller): boolean {
  return (
    isKind(signal.reason, 'deadline-exceeded') ||
    kindOf(signal.reason) === 'deadline-exceeded' ||
    (deadlineMs !== undefined && deadlineMs - Date.now() < deadlineSlackMs)
  );
}

/** Settles as `promise` does, or rejects with the signal's reason, whichever comes first. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}

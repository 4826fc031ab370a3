import { RuntimeError } from '@gantry/errors';

/** The work of requests that is under way, so that a service that stops can answer in its place. */
export class CallsInFlight {
  readonly #pending = new Set<(error: Error) => void>();
  #cutOff = false;

  /** Runs `work`; rejects with `unavailable` if the calls are cut off before it is done. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#cutOff) {
      throw stopping();
    }
    // Not Promise.race with one lasting promise: that would hold on to every call that ever ran.
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#pending.add(reject);
    Promise.try(work).then(resolve, reject);
    try {
      return await promise;
    } finally {
      this.#pending.delete(reject);
    }
  }

  /** Answers `unavailable` for whatever is under way, and from now on. */
  cutOff(): void {
    this.#cutOff = true;
    for (const reject of this.#pending) {
      reject(stopping());
    }
  }
}

function stopping(): RuntimeError {
  return new RuntimeError('unavailable', 'the service is stopping');
}

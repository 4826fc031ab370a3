/**
 * A server that sends less than this over a whole progress timeout makes no
 * progress: it trickles to keep us waiting. Layers would take weeks.
 */
const leastBytesPerSecond = 1024;

/** A server has not sent what it should have by now. */
export class StalledError extends Error {}

/** No byte came for so long. */
export function silent(ms: number): StalledError {
  return new StalledError(`no byte came for ${ms / 1000} s`);
}

/**
 * How fast something comes, over all the connections that it takes. Counts only
 * the time for which the server is waited for, not what our own disk takes.
 */
export class Pace {
  readonly #windowMs: number;
  #waitedMs = 0;
  #bytes = 0;

  /** Judges over `windowMs`; 0 never does. */
  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Waits for the server, whatever comes of it. */
  async wait<T>(what: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      return await what();
    } finally {
      this.#waitedMs += performance.now() - begun;
    }
  }

  /** So many bytes have come. */
  count(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Throws a StalledError where it was too slow lately: to be asked while there is more to come. */
  check(): void {
    if (this.#windowMs === 0 || this.#waitedMs < this.#windowMs) {
      return;
    }
    const seconds = this.#waitedMs / 1000;
    if (this.#bytes < leastBytesPerSecond * seconds) {
      throw new StalledError(`only ${this.#bytes} bytes came in ${seconds.toFixed(1)} s`);
    }
    this.#waitedMs = 0;
    this.#bytes = 0;
  }
}

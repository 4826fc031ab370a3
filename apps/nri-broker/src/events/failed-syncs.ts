const firstPauseMs = 1000;
const longestPauseMs = 30_000;
const mostKept = 32;

/**
 * Plugins that could not be synchronised, and how often in a row: each waits
 * longer before the next time. The last ones alone, since a plugin may call
 * itself anew each time that it comes.
 */
export class FailedSyncs {
  readonly #failures = new Map<string, number>();

  /** How long this plugin is to wait; 0 where it has not failed. */
  pauseMs(name: string): number {
    const failures = this.#failures.get(name) ?? 0;
    return failures === 0 ? 0 : Math.min(firstPauseMs * 2 ** (failures - 1), longestPauseMs);
  }

  failed(name: string): void {
    const failures = this.#failures.get(name) ?? 0;
    this.#failures.delete(name);
    this.#failures.set(name, failures + 1);
    const [oldest] = this.#failures.keys();
    if (oldest !== undefined && this.#failures.size > mostKept) {
      this.#failures.delete(oldest);
    }
  }

  succeeded(name: string): void {
    this.#failures.delete(name);
  }
}

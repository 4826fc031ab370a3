import { kindOf, RuntimeError } from '@gantry/errors';
import { shortId } from '../ids.ts';
import type { Journal, OperationRecord } from '../journal/journal.ts';
import type { Paths } from '../paths.ts';
import type { CallOptions, Locks } from '../ports.ts';

interface Deps {
  readonly locks: Locks;
  readonly paths: Paths;
  readonly journal: Journal;
  /** Undoes or finishes what a process that died had begun on this pod; the lock is held. */
  readonly repair: (sandboxId: string, open: readonly OperationRecord[]) => Promise<void>;
}

/**
 * Serialises work on one pod over all instances of this service. Holding the
 * lock means that nobody runs an operation on the pod; one that is still open
 * then was left by a process that died, and is repaired first. Not re-entrant.
 */
export class PodLock {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Runs `work` under the lock; an abort gives up the wait, not the work. */
  async run<T>(sandboxId: string, work: () => Promise<T>, options: CallOptions = {}): Promise<T> {
    const { locks, paths } = this.#deps;
    await using _ = await locks.lock(paths.lock(sandboxId), options);
    await this.#repair(sandboxId);
    return await work();
  }

  /** As `run`, but returns false at once when another holds the lock. */
  async tryRun(sandboxId: string, work: () => Promise<void>): Promise<boolean> {
    const { locks, paths } = this.#deps;
    await using lock = locks.tryLock(paths.lock(sandboxId));
    if (lock === undefined) {
      return false;
    }
    await this.#repair(sandboxId);
    await work();
    return true;
  }

  async #repair(sandboxId: string): Promise<void> {
    const open = this.#deps.journal.open(sandboxId);
    if (open.length === 0) {
      return;
    }
    try {
      await this.#deps.repair(sandboxId, open);
    } catch (cause) {
      throw new RuntimeError(
        kindOf(cause),
        `repair sandbox ${shortId(sandboxId)} after a crash: ${open.map((o) => o.kind).join(', ')}`,
        { cause },
      );
    }
  }
}

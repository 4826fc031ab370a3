import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, RuntimeError } from '@gantry/errors';
import type { Logger } from '@gantry/telemetry';
import type { Paths } from '../paths.ts';
import type { Locks } from '../ports.ts';
import type { Records } from '../store/records.ts';
import { AppliedUpdates } from './apply-updates.ts';
import { beyondCri } from './cri-resources.ts';
import { noteOwners, ownersFor } from './field-owners.ts';
import { type Cause, type LeftUpdates, PendingUpdates, type Wanted } from './pending-updates.ts';
import type { PluginParts } from './plugins.ts';

const firstRetryMs = 500;
const longestRetryMs = 30_000;

export interface WantedUpdatesDeps {
  readonly records: Records;
  readonly paths: Paths;
  readonly locks: Locks;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly faultPoint: (name: string) => void;
  /** Aborts when the service stops. */
  readonly signal: AbortSignal;
}

/**
 * What plugins want beside their answers: kept when they say it, done when the
 * answer itself stands and the lock of its pod is free, by the next instance
 * where a crash comes in between.
 *
 *   (asked) ──keep──▶ kept ──apply──▶ (done)
 *                      │ drop: what it came with is not to be
 *                      ▼
 *                    (gone)
 */
export class WantedUpdates {
  readonly #deps: WantedUpdatesDeps;
  readonly #pending: PendingUpdates;
  readonly #kept = new Map<string, Wanted>();
  readonly #parts = Promise.withResolvers<PluginParts>();
  #applied: AppliedUpdates | undefined;

  constructor(deps: WantedUpdatesDeps) {
    this.#deps = deps;
    this.#pending = new PendingUpdates(deps);
  }

  /** Has to come before anything is applied; returns what applies. */
  connect(parts: PluginParts): AppliedUpdates {
    this.#applied = new AppliedUpdates(parts, this.#deps.log);
    this.#parts.resolve(parts);
    return this.#applied;
  }

  /** A crash from now on loses nothing of it. */
  async keep(cause: Cause, id: string, wanted: Wanted): Promise<void> {
    if (isAnything(wanted)) {
      await this.#pending.keep(cause, id, wanted);
    } else if (this.#kept.has(`${cause} ${id}`)) {
      await this.#pending.forget(cause, id);
    }
    this.#kept.set(`${cause} ${id}`, wanted);
  }

  has(cause: Cause, id: string): boolean {
    return this.#kept.has(`${cause} ${id}`);
  }

  async drop(cause: Cause, id: string): Promise<void> {
    const wanted = this.#take(cause, id);
    if (wanted !== undefined && isAnything(wanted)) {
      await this.#pending.forget(cause, id);
    }
  }

  /** Throws `failed-precondition` where something can't be done and may not be ignored. */
  async apply(cause: Cause, id: string, doing: string): Promise<void> {
    const { faultPoint, records } = this.#deps;
    const wanted = this.#take(cause, id);
    if (wanted === undefined) {
      return;
    }
    if (cause === 'update') {
      noteOwners(records, id, ownersFor(wanted.owners, id));
    }
    if (!isAnything(wanted)) {
      return;
    }
    faultPoint('plugin-updates:apply');
    try {
      await this.#applied?.locked(id, wanted.resources);
      const { failed = [], reasons = [] } = (await this.#applied?.apply(wanted)) ?? {};
      if (failed.length > 0) {
        const words = `${doing}: updates that plugins want: ${reasons.join('; ')}`;
        throw new RuntimeError('failed-precondition', words);
      }
    } finally {
      await this.#pending.forget(cause, id);
    }
  }

  /** Does what instances that died had still to do, as soon as that can be done. */
  async recover(): Promise<void> {
    const { signal } = this.#deps;
    const parts = await this.#parts.promise;
    let pauseMs = firstRetryMs;
    while (!(await this.#pending.takeOver((left) => this.#finish(parts, left)))) {
      await sleep(pauseMs, undefined, { signal, ref: false });
      pauseMs = Math.min(pauseMs * 2, longestRetryMs);
    }
  }

  async #finish(parts: PluginParts, left: LeftUpdates): Promise<void> {
    const { cause, id, wanted } = left;
    const { log, signal, records } = this.#deps;
    if (this.#applied === undefined || !(await this.#stands(parts, left))) {
      return;
    }
    log.info({ container: id, event: cause }, 'finish what plugins wanted before a crash');
    if (cause === 'update') {
      noteOwners(records, id, ownersFor(wanted.owners, id));
      await this.#applied.locked(id, wanted.resources).catch((error: unknown) => {
        log.warn({ container: id, error: messageOf(error) }, 'limits that a plugin wants');
      });
    }
    const { failed } = await this.#applied.apply(wanted, { signal });
    const container = records.containers.find(id);
    if (cause === 'create' && failed.length > 0 && container?.phase === 'created') {
      await parts.podLock.run(container.sandboxId, () => parts.remove(id));
    }
  }

  /** Whether what it came with has been done; whoever gets the lock of a pod repairs that first. */
  async #stands({ podLock }: PluginParts, { cause, id, keptAt }: LeftUpdates): Promise<boolean> {
    const { records, signal } = this.#deps;
    const container = records.containers.find(id);
    if (cause === 'stop' || container === undefined) {
      return cause === 'stop';
    }
    return podLock.run(
      container.sandboxId,
      () =>
        Promise.resolve(
          cause === 'create'
            ? records.containers.find(id) !== undefined
            : records.journal
                .of(id)
                .some(
                  ({ kind, begunAt, outcome }) =>
                    kind === 'update-container' && begunAt >= keptAt && outcome === 'done',
                ),
        ),
      { signal },
    );
  }

  #take(cause: Cause, id: string): Wanted | undefined {
    const wanted = this.#kept.get(`${cause} ${id}`);
    this.#kept.delete(`${cause} ${id}`);
    return wanted;
  }
}

function isAnything({ resources, update, evict }: Wanted): boolean {
  const rest = resources && beyondCri(resources);
  return update.length + evict.length > 0 || rest !== undefined;
}

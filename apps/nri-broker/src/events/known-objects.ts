import type { Container, PodSandbox } from '@gantry/proto/nri';
import type { Snapshot } from '../ports.ts';
import type { ToldJournal } from './told-journal.ts';

interface Known {
  state: 'created' | 'stopped';
  readonly sinceMs: number;
  pod?: PodSandbox;
  container?: Container;
}

/**
 * How long something may be in the making after plugins were told of it. Older
 * ones that their owner does not know were given up without a word.
 */
const longestMakingMs = 10 * 60_000;

/**
 * What plugins have been told of, so that each stop and removal is told once.
 *
 *   (unknown) ──made──▶ created ──stop──▶ stopped ──removal──▶ (unknown)
 */
export class KnownObjects {
  readonly #byId = new Map<string, Known>();
  readonly #journal: Pick<ToldJournal, 'madeIds' | 'made' | 'removed'>;

  constructor(journal: Pick<ToldJournal, 'madeIds' | 'made' | 'removed'>) {
    this.#journal = journal;
    for (const id of journal.madeIds) {
      this.#byId.set(id, { state: 'created', sinceMs: Date.now() });
    }
  }

  made(what: { readonly pod: PodSandbox; readonly container?: Container }): void {
    const { pod, container } = what;
    const known: Known = {
      state: 'created',
      sinceMs: Date.now(),
      ...(container === undefined ? { pod } : { container }),
    };
    const { id } = container ?? pod;
    this.#journal.made(id);
    this.#byId.set(id, known);
  }

  /** True where plugins are to be told of the stop: once. */
  stop(id: string): boolean {
    const known = this.#byId.get(id);
    if (known?.state !== 'created') {
      return false;
    }
    known.state = 'stopped';
    return true;
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  isRunning(id: string): boolean {
    return this.#byId.get(id)?.state === 'created';
  }

  /** Once plugins have been told of the removal. */
  remove(id: string): void {
    this.#journal.removed(id);
    this.#byId.delete(id);
  }

  /**
   * Takes over what its owner says, and adds what plugins have been told of, by
   * an earlier broker too, while it is in the making.
   */
  complete(snapshot: Snapshot): Pick<Snapshot, 'pods' | 'containers'> {
    const shown = new Set<string>();
    const note = (id: string, state: Known['state']): void => {
      shown.add(id);
      const known = this.#byId.get(id);
      if (known === undefined) {
        this.#byId.set(id, { state, sinceMs: Date.now() });
      } else if (state === 'stopped') {
        known.state = state;
      }
    };
    for (const { id } of [...snapshot.pods, ...snapshot.containers]) {
      note(id, 'created');
    }
    for (const id of snapshot.stopping) {
      note(id, 'created');
    }
    for (const id of snapshot.stopped) {
      note(id, 'stopped');
    }
    for (const pod of snapshot.podsInMaking) {
      this.#remember(pod.id, { pod });
    }
    for (const container of snapshot.containersInMaking) {
      this.#remember(container.id, { container });
    }
    return this.#withThoseInTheMaking(snapshot, shown);
  }

  /** What it looks like, of one that an earlier broker told plugins of. */
  #remember(id: string, what: Pick<Known, 'pod' | 'container'>): void {
    const known = this.#byId.get(id);
    if (known !== undefined && known.pod === undefined && known.container === undefined) {
      Object.assign(known, what);
    }
  }

  #withThoseInTheMaking(
    snapshot: Snapshot,
    shown: ReadonlySet<string>,
  ): Pick<Snapshot, 'pods' | 'containers'> {
    const pods = snapshot.pods.filter(({ id }) => this.isRunning(id));
    const containers = snapshot.containers.filter(({ id }) => this.isRunning(id));
    for (const [id, known] of this.#byId) {
      if (shown.has(id)) {
        continue;
      }
      if (Date.now() - known.sinceMs > longestMakingMs) {
        this.remove(id);
      } else if (known.state === 'created') {
        pods.push(...(known.pod === undefined ? [] : [known.pod]));
        containers.push(...(known.container === undefined ? [] : [known.container]));
      }
    }
    return { pods, containers };
  }
}

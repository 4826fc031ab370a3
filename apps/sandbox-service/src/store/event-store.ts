import type { ContainerEventType } from '@gantry/proto';
import type { Store } from '@gantry/store';
import type { Container, ContainerRow, ContainerStore } from './container-store.ts';
import type { Sandbox, SandboxRow, SandboxStore } from './sandbox-store.ts';

/** A state change of a pod or container, with the records of its pod as they were then. */
export interface EventRecord {
  /** One more than that of the event before. */
  readonly seq: number;
  readonly type: ContainerEventType;
  /** Of the container; of the pod for its own events. */
  readonly objectId: string;
  readonly atMs: number;
  /** Of a removed pod the last one; absent in events of its removal that older versions wrote. */
  readonly sandbox?: Sandbox;
  readonly containers: readonly Container[];
  /** What its records take in the database. */
  readonly bytes: number;
}

interface Row {
  seq: number;
  type: ContainerEventType;
  object_id: string;
  at_ms: number;
}

/** Of the notes of starts: younger than so many milliseconds. */
const within = "at_ms > CAST(unixepoch('subsec') * 1000 AS INTEGER) - ?";

/** The last events of the node, of all instances, written by triggers; see event-migration.ts. */
export class EventStore {
  readonly #store: Store;
  readonly #sandboxes: SandboxStore;
  readonly #containers: ContainerStore;

  constructor(store: Store, sandboxes: SandboxStore, containers: ContainerStore) {
    this.#store = store;
    this.#sandboxes = sandboxes;
    this.#containers = containers;
  }

  /** The number of the newest event; 0 when there was none. */
  last(): number {
    return (
      this.#store.prepare<{ seq: number | null }>('SELECT max(seq) AS seq FROM events').get()
        ?.seq ?? 0
    );
  }

  /** Those after number `seq`, oldest first, at most `limit`. */
  after(seq: number, limit: number): readonly EventRecord[] {
    return this.#store
      .prepare<Row>('SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?')
      .all(seq, limit)
      .map((row) => this.#eventOf(row));
  }

  /**
   * Notes that an instance starts, and will now write down what happened
   * without it; returns the number of the note. What is younger than `unsureMs`
   * counts as not yet told: the instance before may have died with it. Notes
   * older than `forgetMs` go.
   */
  noteStart(forgetMs: number, unsureMs: number): number {
    this.#store.prepare(`DELETE FROM event_starts WHERE NOT ${within}`).run(forgetMs);
    this.#store
      .prepare(
        `INSERT INTO event_starts (seq)
           SELECT coalesce((SELECT min(seq) - 1 FROM events WHERE ${within}), ?)`,
      )
      .run(unsureMs, this.last());
    return (
      this.#store.prepare<{ id: number }>('SELECT max(id) AS id FROM event_starts').get()?.id ?? 0
    );
  }

  /** Notes that the instance of note `id` has written it all down. */
  noteFound(id: number): void {
    this.#store.prepare('UPDATE event_starts SET found_seq = ? WHERE id = ?').run(this.last(), id);
  }

  /** What instances that started in the last `ageMs` found out at their start, oldest first. */
  foundAtStarts(ageMs: number): readonly EventRecord[] {
    return this.#store
      .prepare<Row>(
        `SELECT * FROM events WHERE EXISTS (
           SELECT 1 FROM event_starts AS start WHERE start.${within}
             AND events.seq > start.seq AND events.seq <= coalesce(start.found_seq, events.seq))
         ORDER BY seq`,
      )
      .all(ageMs)
      .map((row) => this.#eventOf(row));
  }

  #eventOf(row: Row): EventRecord {
    const sandbox = this.#store
      .prepare<SandboxRow>('SELECT * FROM event_sandboxes WHERE event = ?')
      .get(row.seq);
    const containers = this.#store
      .prepare<ContainerRow>('SELECT * FROM event_containers WHERE event = ?')
      .all(row.seq);
    return {
      seq: row.seq,
      type: row.type,
      objectId: row.object_id,
      atMs: row.at_ms,
      bytes: bytesOf([...(sandbox === undefined ? [] : [sandbox]), ...containers]),
      // The copy of a record that could not be read is left out: the event itself is true.
      ...decoded(sandbox === undefined ? [] : [sandbox], (one) => ({
        sandbox: this.#sandboxes.decode(one, false),
      }))[0],
      containers: decoded(containers, (one) => this.#containers.decode(one, false)),
    };
  }
}

function bytesOf(rows: readonly Pick<SandboxRow, 'config' | 'facts'>[]): number {
  return rows.reduce((sum, { config, facts }) => sum + config.length + facts.length, 0);
}

function decoded<R, T>(rows: readonly R[], decode: (row: R) => T): readonly T[] {
  return rows.flatMap((row) => {
    try {
      return [decode(row)];
    } catch {
      return [];
    }
  });
}
